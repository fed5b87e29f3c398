"""Every process finds the same tests: parallel workers refuse to start otherwise."""

import os
import subprocess
import sys


def name_of(item):
    """The name of a test without the group that pytest-xdist appends."""
    groups = [mark.args[0] for mark in item.iter_markers("xdist_group")]
    return item.nodeid.removesuffix(f"@{groups[0]}") if groups else item.nodeid


def test_another_process_at_another_time_finds_the_same_tests(project, request):
    """Names must depend neither on the clock (a date in an archive) nor on the order of a set."""
    here = [name_of(item) for item in request.session.items]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *request.config.args],
        cwd=project,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    assert sorted(set(here) - set(found.stdout.splitlines())) == []


def test_names_of_tests_are_short_and_printable(request):
    for item in request.session.items:
        parameters = item.name.removeprefix(getattr(item, "originalname", ""))
        assert len(parameters) < 200, item.nodeid[:300]
        assert item.nodeid.isprintable(), item.nodeid[:300]
