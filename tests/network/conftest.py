"""Fixtures of the network tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with golden vectors and manifests, next to the benchmark images."""
    named = os.environ.get("DGUNET_BENCHMARKS")
    folder = Path(named or "/nowhere").parent / "reference"
    if not (folder / "golden").is_dir():
        pytest.skip("needs DGUNET_BENCHMARKS with ../reference/golden beside it")
    return folder
