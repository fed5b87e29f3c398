"""Shared fixtures: the project's folder on the path, and where the real benchmark images are."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

os.environ.setdefault("DVC_NO_ANALYTICS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
if "DGUNET_CACHE" not in os.environ:  # else every store of a test leaves a note in the user's
    _cache = tempfile.TemporaryDirectory(prefix="dgunet-cache-")
    os.environ["DGUNET_CACHE"] = _cache.name


def pytest_collection_modifyitems(items):
    """The longest group first, so that the other worker has the rest meanwhile."""
    items.sort(key=lambda item: "reproduce" not in item.path.parts)


@pytest.fixture(autouse=True)
def _no_known_secrets():
    """A password of one test is a word like any other in the next."""
    from dgunet.system import address

    address._known.clear()


@pytest.fixture(autouse=True, scope="session")
def _messages_on_stderr():
    """Messages of the library appear as in a command."""
    from dgunet.system.logs import log_to_stderr

    log_to_stderr()


@pytest.fixture(scope="session")
def project():
    """The root folder of the checkout under test."""
    return ROOT


@pytest.fixture(scope="session")
def sample_root(project, tmp_path_factory):
    """The sample trees: as pulled, or made again where nothing was pulled."""
    pulled = project / "data" / "sample"
    if pulled.is_dir():
        return pulled
    from dgunet.data.sample.generate import generate_sample

    made = tmp_path_factory.mktemp("sample") / "sample"
    generate_sample(made)
    return made


@pytest.fixture
def dgunet(monkeypatch, capfd):
    """Run ``dgunet``; returns what it printed and its exit status.

    Within this process: importing torch once instead of once a case.
    """
    from dgunet.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dgunet", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        told = capfd.readouterr()
        return subprocess.CompletedProcess(
            arguments, int(stopped.value.code or 0), told.out, told.err
        )

    return run
