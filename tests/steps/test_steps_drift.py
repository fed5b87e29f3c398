"""Digits that two sets of scores share."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgunet.steps import report as reporting
from dgunet.steps.drift import TOLERANCES, CellPair, drift_table, paired


def pair(first, second, score="psnr"):
    return CellPair("Rain100L-DGUNet", score, first, second)


@pytest.mark.parametrize(
    ("cell", "verdict"),
    [
        (pair(30.0, 30.0), "same bits"),
        (pair(30.0, math.nextafter(30.0, 31)), "same to 15 digits"),
        (pair(30.0, 30.004), "same to 3 digits"),
        (pair(30.0, 30.04), "same to 2 digits"),
        (pair(30.0, 30.06), "differs"),
        (pair(0.9, 0.9005, "ssim"), "same to 3 digits"),
        (pair(0.9, 0.902, "ssim"), "differs"),
        (pair(30.0, None), "differs"),
        (pair(30.0, math.nan), "differs"),
        (pair(math.inf, math.inf), "same bits"),
        (pair(math.inf, 90.0), "differs"),
    ],
)
def test_a_cell_has_a_verdict(cell, verdict):
    assert cell.verdict == verdict


@given(st.floats(1, 99), st.integers(3, 12))
def test_digits_are_those_that_survive(value, digits):
    """A change of one unit in a decimal digit leaves the digits before it."""
    found = pair(value, value * (1 + 2 * 10.0**-digits)).digits
    assert found == digits - 1


def test_every_score_has_a_tolerance_and_unknown_entries_are_left_out():
    both = paired({"a": {"psnr": 1.0, "ssim": 0.5, "input_psnr": 3.0}}, {"b": {"psnr": 1.0}})
    assert [each.name for each in both] == ["a psnr", "a ssim", "b psnr"]
    assert {each.score for each in both} == set(TOLERANCES)
    assert drift_table(both).splitlines()[-1] == "cells: 3; same bits: 0; same digits: 0; differ: 3"


@pytest.fixture
def folders(tmp_path):
    for name, value in (("a", 30.0), ("b", 30.001), ("c", 31.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Set11-DGUNet.json").write_text(json.dumps({"psnr": value}))
    return tmp_path


def test_the_command(dgunet, folders):
    done = dgunet("drift", folders / "a", folders / "b")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "Set11-DGUNet psnr  30.0  30.001  same to 4 digits",
        "cells: 1; same bits: 0; same digits: 1; differ: 0",
    ]
    assert dgunet("drift", folders / "a", folders / "c").returncode == 1
    missing = dgunet("drift", folders / "a", folders / "absent")
    assert missing.returncode == 1
    assert "absent has no scores" in missing.stderr


@pytest.mark.parametrize(("unexplained", "status"), [(True, 1), (False, 0)])
def test_a_report_can_fail_on_a_real_difference(dgunet, monkeypatch, unexplained, status):
    made = reporting.ProjectReport("sample", "the text", unexplained)
    monkeypatch.setattr(reporting, "write_project_report", lambda here: made)
    for options, expected in (((), 0), (("--verify",), status)):
        done = dgunet("report", *options)
        assert (done.returncode, done.stdout) == (expected, "the text\n")
