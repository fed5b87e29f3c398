"""Shared fixtures and settings: import path, environment, sample data, command runner."""

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
# Tests compare results of this process with those of others, under the sample's portable kernels;
# the caps of `dgunet.network.kernels` work only before torch computes for the first time.
os.environ |= {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE"}
AT_THE_START = dict(os.environ)
"""The environment before a test imports libraries, some of which change it."""

if "DGUNET_CACHE" not in os.environ:  # else every store of a test leaves a note in the user's cache
    _cache = tempfile.TemporaryDirectory(prefix="dgunet-cache-")
    os.environ["DGUNET_CACHE"] = _cache.name


def pytest_collection_modifyitems(items):
    """Run the longest group first, so that the other worker runs the rest in parallel."""
    items.sort(key=lambda item: "reproduce" not in item.path.parts)


def pytest_make_parametrize_id(val, argname):
    """Name content by its argument: workers must find equal names, and logs must stay readable."""
    too_long = isinstance(val, str) and (len(val) > 60 or not val.isprintable())
    return argname if too_long or isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def _no_known_secrets():
    """Forget the secrets of earlier tests, which would be redacted in this one."""
    from dgunet.system import address

    address._known.clear()


@pytest.fixture(autouse=True)
def _no_active_experiment():
    """Refuse a test that leaves MLflow's active experiment: later tests would read that one."""
    yield
    fluent = sys.modules.get("mlflow.tracking.fluent")
    left = fluent and fluent._active_experiment_id
    if left:
        fluent._active_experiment_id = None
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    assert not left, f"the test left MLflow's experiment {left} active"


@pytest.fixture(autouse=True, scope="session")
def _messages_on_stderr():
    """Log messages of the library to stderr, as in a command."""
    from dgunet.system.logs import log_to_stderr

    log_to_stderr()


@pytest.fixture(scope="session")
def project():
    """The root folder of the checkout under test."""
    return ROOT


@pytest.fixture(scope="session")
def sample_root(project, tmp_path_factory):
    """The sample datasets: as pulled with DVC, else generated."""
    pulled = project / "data" / "sample"
    if pulled.is_dir():
        return pulled
    from dgunet.data.sample.generate import generate_sample

    made = tmp_path_factory.mktemp("sample") / "sample"
    generate_sample(made)
    return made


@pytest.fixture(scope="session")
def warm():
    """Variables by which `dgunet` as a process runs in a fork of one that has imported torch etc.

    It is the command itself, with its exit status, output and signals; only the imports are saved.
    """
    shell = 'echo "$DGUNET_WARM"; exec cat'
    process = subprocess.Popen(
        [sys.executable, "-m", "dgunet.cli.warm_process", "sh", "-c", shell],
        cwd=ROOT,
        env=AT_THE_START | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield {"DGUNET_WARM": process.stdout.readline().strip()}
    process.stdin.close()
    assert process.wait() == 0


@pytest.fixture(scope="session")
def at_the_start():
    """The environment before a test imports libraries, some of which change it."""
    return AT_THE_START


@pytest.fixture
def dgunet(monkeypatch, capfd):
    """Run ``dgunet``; gives its output and exit status.

    It runs in this process, so that torch is imported only once.
    """
    from dgunet.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dgunet", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capfd.readouterr()
        return subprocess.CompletedProcess(
            arguments, int(stopped.value.code or 0), captured.out, captured.err
        )

    return run
