"""Fixtures: a fresh clone in which the whole chain has run, shared by all tests."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Clone:
    """A clone of the project, and the environment of its commands."""

    home: Path
    env: dict

    def run(self, *command, **extra):
        """Run a command that must succeed; return its output, both streams together."""
        done = self._call(command, extra)
        if done.returncode:
            pytest.fail(
                f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout[-4000:]}"
            )
        return done.stdout

    def refused(self, *command, **extra):
        """Run a command that must fail; return its output."""
        done = self._call(command, extra)
        assert done.returncode, f"{' '.join(command)} succeeded:\n{done.stdout[-4000:]}"
        return done.stdout

    def _call(self, command, extra):
        return subprocess.run(
            command,
            cwd=self.home,
            env=self.env | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def read(self, path):
        """Return the text of a file in the clone."""
        return (self.home / path).read_text()


def environment(home):
    """Return an environment without git identity or tracking server, with the clone's code."""
    dropped = ("MLFLOW_", "DGUNET_", "DVC_", "GIT_", "PYTEST_", "AWS_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    commands = str(Path(sys.executable).parent)
    return env | {
        "PATH": f"{commands}{os.pathsep}{env['PATH']}",
        "PYTHONPATH": str(home),
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }


@pytest.fixture(scope="session")
def clone(project, tmp_path_factory, warm):
    """A clone of the project at a path with a space, with the sample data."""
    home = tmp_path_factory.mktemp("fresh") / "a clone"
    subprocess.run(["git", "clone", "--quiet", str(project), str(home)], check=True)
    made = Clone(home, environment(home) | warm)
    made.run("dvc", "pull", "--quiet", "data")
    return made


@pytest.fixture(scope="session")
def reproduced(clone):
    """The clone after the commands of `make reproduce`; the output of DVC is in `repro.log`.

    One process sends the runs of all stages to MLflow, here after them instead of beside them.
    """
    clone.run("dgunet", "tracking", "init")
    (clone.home / ".dgunet").mkdir(exist_ok=True)
    output = clone.run("dvc", "repro", DGUNET_TRACKING="later")
    (clone.home / ".dgunet" / "repro.log").write_text(output)
    clone.run("dgunet", "tracking", "sync")
    clone.run("dgunet", "report")
    return clone
