"""Fixtures of the cost tests: a small network, the benchmark images."""

import os
from pathlib import Path

import pytest

from dgunet.network import preset


@pytest.fixture(scope="session")
def small():
    """A small deraining network."""
    return preset("derain", n_feat=8, scale=4, stages=3)


@pytest.fixture(scope="session")
def benchmarks():
    """The folder of real benchmark images."""
    folder = os.environ.get("DGUNET_BENCHMARKS")
    if not folder:
        pytest.skip("DGUNET_BENCHMARKS does not name the folder of the real benchmark images")
    return Path(folder)
