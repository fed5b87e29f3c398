"""Every script of the repository explains itself with --help, and does nothing then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("docs", "benchmarks", "pipelines")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)


def state():
    """Size and time of every file that a script could write."""
    folders = ("docs", "benchmarks", "pipelines", "components", "build", ".dgunet", "mlruns")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in [*files, *ROOT.glob("*.*")]
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_scripts_are_found():
    assert {"docs/make_figure.py", "benchmarks/__main__.py", "pipelines/generate.py"} <= {
        path.relative_to(ROOT).as_posix() for path in SCRIPTS
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_answers_help_and_does_nothing(script):
    module = ".".join(script.relative_to(ROOT).with_suffix("").parts)
    way = ["-m", module] if script.parent.name in ("pipelines", "benchmarks") else [str(script)]
    before = state()
    done = subprocess.run(
        [sys.executable, *way, "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout[:6]) == (0, "usage:"), done.stderr
    assert state() == before
