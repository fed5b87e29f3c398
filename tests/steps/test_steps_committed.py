"""Small results for git: equal bytes for equal runs, and their comparison with the commit."""

import json
import os
import shutil
import subprocess
from types import SimpleNamespace

import matplotlib as mpl
import pandas as pd
import pytest

from dgunet.project import ProjectFolders
from dgunet.steps.commit_comparison import compare_with_commit
from dgunet.steps.committed_curves import CURVE_POINTS, commit_curve
from dgunet.steps.committed_scores import commit_scores

SCORES = {"psnr": 17.353335374112344, "ssim": 0.4427, "input_psnr": 15.1, "input_ssim": 0.43}
LOCK = """stages:
  a:
    cmd: x
    outs: [{{path: build/a, md5: "{0}"}}]
  b:
    cmd: y
    deps: [{{path: build/a, md5: "{0}"}}]
    outs: [{{path: build/b, md5: "{0}"}}]
"""


def summary(dataset="Rain100L", row="DGUNet", ratio=None, **changes):
    content = SCORES | changes
    return SimpleNamespace(dataset=dataset, row=row, ratio=ratio, to_dict=lambda: content)


def test_scores_are_flat_and_exact(tmp_path):
    path = commit_scores(tmp_path, summary())
    assert path.name == "Rain100L-DGUNet.json"
    assert json.loads(path.read_text()) == SCORES
    assert commit_scores(tmp_path, summary("Set11", ratio=10)).name == "Set11-DGUNet-r10.json"
    waiting = dict.fromkeys(SCORES)
    assert json.loads(commit_scores(tmp_path, summary("DND", **waiting)).read_text()) == {}


def losses(path, steps):
    loss = [1 / (step + 1) for step in range(steps)]
    pd.DataFrame({"step": range(steps), "loss": loss, "stage_1": 0.5}).to_csv(path, index=False)


@pytest.mark.parametrize("steps", [1, 12, CURVE_POINTS, CURVE_POINTS + 1, 12_345])
def test_a_curve_keeps_exact_points_of_a_training_of_any_length(tmp_path, steps):
    losses(tmp_path / "loss.csv", steps)
    every = [line.split(",")[:2] for line in (tmp_path / "loss.csv").read_text().splitlines()]
    points, _ = commit_curve(tmp_path, "derain-DGUNet", tmp_path / "loss.csv")
    head, *kept = [line.split(",") for line in points.read_text().splitlines()]
    assert head == ["step", "loss"]
    assert kept == [every[1 + int(step)] for step, _ in kept], "not the same digits"
    assert min(steps, CURVE_POINTS // 2) <= len(kept) <= CURVE_POINTS


def test_a_drawing_has_equal_bytes_whatever_the_settings_and_the_time(tmp_path, monkeypatch):
    losses(tmp_path / "loss.csv", 20)
    _, drawing = commit_curve(tmp_path / "a", "derain-DGUNet", tmp_path / "loss.csv")
    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 7.0)
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "path")
    monkeypatch.setitem(mpl.rcParams, "font.size", 20.0)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    _, again = commit_curve(tmp_path / "b", "derain-DGUNet", tmp_path / "loss.csv")
    assert drawing.read_bytes() == again.read_bytes()
    text = drawing.read_text()
    assert "training loss of derain-DGUNet" in text and "dc:date" not in text
    assert "http" not in text.split("</metadata>")[-1], "it needs a network"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A repository with two committed evaluations and a lock file."""
    for name in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", os.devnull)
    here = ProjectFolders(tmp_path / "home")
    folder = here.committed_scores("sample")
    commit_scores(folder, summary())
    commit_scores(folder, summary("Set11", ratio=10))
    (here.home / "dvc.lock").write_text(LOCK.format("0" * 32))
    me = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for command in (("init", "-q"), ("add", "--all"), (*me, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", here.home, *command], check=True)
    return here


def test_equal_results_are_counted(here):
    made = compare_with_commit(here, "sample")
    first, second = made.lines
    assert first.startswith("4 of 4 cells equal the committed values (results/sample/trained,")
    assert second == "bit for bit: all 2 outputs in dvc.lock are those of the commit"
    assert not made.unexplained


def test_other_bits_are_counted_in_digits_and_fail_nothing(here):
    commit_scores(here.committed_scores("sample"), summary(psnr=SCORES["psnr"] + 1e-9))
    made = compare_with_commit(here, "sample")
    count, worst, close, remark, _ = made.lines
    assert count.startswith("3 of 4 cells equal")
    assert worst.startswith("the largest difference: Rain100L-DGUNet psnr is 17.3533353751")
    assert close == "cells that are the same to 10 digits or more: 1"
    assert "AVX2" in remark and "torch" in remark
    assert not made.unexplained


def test_a_real_difference_is_named_with_the_stage_in_which_it_begins(here):
    folder = here.committed_scores("sample")
    commit_scores(folder, summary(psnr=SCORES["psnr"] + 1e-9))
    commit_scores(folder, summary("Set11", ratio=10, psnr=SCORES["psnr"] - 0.5))
    (here.home / "dvc.lock").write_text(LOCK.format("1" * 32))
    made = compare_with_commit(here, "sample")
    count, worst, close, real, _, bits = made.lines
    assert count.startswith("2 of 4 cells equal")
    assert worst == (
        "the largest difference: Set11-DGUNet-r10 psnr is 16.853335374112344, committed"
        " 17.353335374112344"
    )
    assert close.startswith("cells that are the same to 10 digits")
    assert real == "cells that differ by more than the last bits explain (psnr 0.05, ssim 0.001): 1"
    assert bits == (
        "not bit for bit: 2 of 2 outputs in dvc.lock differ; the differences begin in a"
    )
    assert made.unexplained


def test_changed_settings_explain_a_difference(here):
    commit_scores(here.committed_scores("sample"), summary(ssim=0.1))
    (here.home / "pipelines" / "trained").mkdir(parents=True)
    (here.home / "pipelines" / "trained" / "dvc.lock").write_text(LOCK.format("1" * 32))
    assert compare_with_commit(here, "sample").unexplained, "a lock file is a result"
    (here.home / "params.yaml").write_text("seed: 2\n")
    made = compare_with_commit(here, "sample")
    assert not made.unexplained
    assert "the working tree differs from the commit in" in made.lines[3]


def test_a_result_that_is_missing_or_new_differs(here):
    folder = here.committed_scores("sample")
    (folder / "Rain100L-DGUNet.json").unlink()
    commit_scores(folder, summary("HIDE"))
    made = compare_with_commit(here, "sample")
    assert made.lines[0].startswith("2 of 6 cells equal")
    assert "Rain100L-DGUNet psnr is None, committed 17.35" in made.lines[1]
    assert made.unexplained


def test_without_a_commit_or_committed_results_it_says_so(here):
    def first(*given):
        return compare_with_commit(*given).lines[0]

    assert first(here, "paper").endswith("it has no results/paper/trained")
    assert first(here.using("released"), "sample").endswith("results/sample/released")
    shutil.rmtree(here.home / ".git")
    assert first(here, "sample").startswith("not compared with a commit")
