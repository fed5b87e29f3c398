"""Fixtures of the evaluation tests: small sets, and where the real benchmark images are."""

import os
from pathlib import Path

import pytest
from evaluation_stand_ins import MemoryStore, records


@pytest.fixture
def rain_store():
    return MemoryStore(records(5))


@pytest.fixture(scope="session")
def benchmarks():
    """The folder of real benchmark images."""
    folder = os.environ.get("DGUNET_BENCHMARKS")
    if not folder:
        pytest.skip("DGUNET_BENCHMARKS does not name the folder of the real benchmark images")
    return Path(folder)


@pytest.fixture(scope="session")
def golden(benchmarks):
    """The folder of recorded outputs of the released code."""
    folder = benchmarks.parent / "reference" / "golden"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    return folder
