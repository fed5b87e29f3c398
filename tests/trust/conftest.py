"""Fixtures: leftovers of a killed process."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def dead_name():
    """A function that makes names of partial files of a dead process: ``dead_name("x", "old")``."""

    def name(made, kind="partial", suffix=""):
        code = (
            "import sys; from dgunet.system.leftovers import partial_name\n"
            "print(partial_name(*sys.argv[1:]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, made, kind, suffix],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    return name


@pytest.fixture(scope="session")
def bundles(project, tmp_path_factory):
    """An honest bundle of complete results (`folder`), its signed twin (`signed`), and its keys."""
    from made_bundles import made_bundles

    return made_bundles(project, tmp_path_factory.mktemp("bundles"))
