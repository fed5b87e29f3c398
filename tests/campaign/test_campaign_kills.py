"""A small part of the campaign ``python tests/campaign/kills.py`` finds no faults."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_few_kills_cause_no_faults():
    script = Path(__file__).with_name("kills.py")
    done = subprocess.run(
        [sys.executable, script, "import", "evaluate", "--most", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("4 kills, 0 faults\n")
