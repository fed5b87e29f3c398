"""`dgunet claims` on the results of a project, and the commits of the claims behind its marks."""

import json
import math
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from made_results import digest, made_rows, write_result
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.paper.claims import claim_list
from dgunet.paper.claims.claim_text import facts, scale
from dgunet.paper.claims.judgement import JudgedClaim, Judgement
from dgunet.project import ProjectFolders
from dgunet.steps import claim_judging
from dgunet.steps.claim_history import UNCOMMITTED, ClaimHistory
from dgunet.system.files import sha256_file, write_json
from dgunet.terms import CHECKPOINT_TAG, DATA_TAG, SELECTION_TAG, WEIGHTS_TAG, RunTags
from dgunet.tracking import TrackingFolders, delivered, pending, start_run

CLAIM, OTHER = "without-fgdm-falls", "stages-9-over-7"
IMAGES = 20


@pytest.fixture
def repository(tmp_path):
    """A git repository with the claims in its first commit, and a function that commits."""
    folder = tmp_path / "repository"
    folder.mkdir()
    path = folder / claim_list.NAME
    path.write_text(claim_list.text())

    def git(*words):
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(*change):
        if change:
            path.write_text(path.read_text().replace(*change))
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--message", "a commit")
        return git("rev-parse", "HEAD")

    git("init", "--quiet", "--initial-branch", "main")
    return SimpleNamespace(folder=folder, path=path, git=git, commit=commit, first=commit())


LOWER = ("size: 0.55\n  smallest_effect: 0.1", "size: 0.55\n  smallest_effect: 0.02")


def test_a_claim_that_is_in_the_commit_of_its_runs_was_fixed_before(repository):
    later = repository.commit()
    history = ClaimHistory(repository.folder)
    assert history.commits[CLAIM] == repository.first
    assert history.fixed(CLAIM, [repository.first, later]) == "before its runs"


def test_a_threshold_that_is_lowered_after_the_runs_is_marked_and_no_other_claim(repository):
    run = repository.commit()
    changed = repository.commit(*LOWER)
    after = repository.commit("# Section 4.6", "# Our section 4.6")
    history = ClaimHistory(repository.folder)
    assert history.commits[CLAIM] == changed
    assert history.fixed(CLAIM, [run]) == "changed after its runs"
    assert history.fixed(CLAIM, [changed, run]) == "changed after its runs"
    assert history.fixed(CLAIM, [changed, after]) == "before its runs"
    assert history.fixed(OTHER, [run]) == "before its runs"


def test_a_threshold_that_is_lowered_and_restored_counts_as_changed(repository):
    run = repository.commit(*LOWER)
    restored = repository.commit(*reversed(LOWER))
    assert ClaimHistory(repository.folder).commits[CLAIM] == restored
    assert ClaimHistory(repository.folder).fixed(CLAIM, [run]) == "changed after its runs"


def test_a_change_that_is_not_committed_is_marked(repository):
    repository.path.write_text(repository.path.read_text().replace(*LOWER))
    history = ClaimHistory(repository.folder)
    assert history.commits[CLAIM] == UNCOMMITTED
    assert history.fixed(CLAIM, [repository.first]) == "changed after its runs"
    assert history.fixed(OTHER, [repository.first]) == "before its runs"


def test_what_git_does_not_tell_is_unknown(repository, tmp_path):
    history = ClaimHistory(repository.folder)
    assert history.fixed(CLAIM, []) == "unknown"
    assert history.fixed(CLAIM, [repository.first, None]) == "unknown"
    assert history.fixed(CLAIM, ["f" * 40]) == "unknown"
    repository.git("checkout", "--quiet", "--orphan", "elsewhere")
    unrelated = repository.commit(*LOWER)
    repository.git("checkout", "--quiet", "main")
    assert history.fixed(CLAIM, [unrelated]) == "unknown"
    source = repository.folder.as_uri()
    repository.commit()
    words = ("clone", "--quiet", "--depth", "1", "--branch", "main", source, tmp_path / "shallow")
    subprocess.run(["git", *words], check=True)
    shallow = ClaimHistory(tmp_path / "shallow")
    assert shallow.commits[CLAIM] is None
    assert shallow.fixed(CLAIM, [repository.first]) == "unknown"
    shutil.rmtree(repository.folder / ".git")
    assert ClaimHistory(repository.folder).fixed(CLAIM, [repository.first]) == "unknown"


def evaluate(folder, row, fall, *, training=0, **more):
    """Write an evaluation on Rain100H whose images lose ``fall`` dB."""
    draw = np.random.default_rng([training, len(row)])
    rows = made_rows("Rain100H", IMAGES)
    for each, noise in zip(rows, draw.normal(size=IMAGES), strict=True):
        object.__setattr__(each, "psnr", each.psnr - fall + 0.05 * noise)
    weights = {"checkpoint_sha256": digest(row, training), "weights": "trained"} | more
    return write_result(folder, "Rain100H", row, rows=rows, **weights)


@pytest.fixture
def home(project, tmp_path, monkeypatch):
    """A project with two evaluated ablations of the sample, one of them with its run."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "params.yaml").write_text((project / "params.yaml").read_text())
    monkeypatch.setenv("DGUNET_HOME", str(home))
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    here = ProjectFolders(home)
    evaluate(here.ablation("stages-7"), "stages-7", 0.0)
    made = evaluate(here.ablation("without-fgdm"), "without-fgdm", 0.6)
    tags = RunTags("evaluate", "sample").to_dict() | {
        CHECKPOINT_TAG: made["checkpoint_sha256"],
        DATA_TAG: made["data_digest"],
        SELECTION_TAG: made["selection"],
        WEIGHTS_TAG: made["weights"],
    }
    with start_run("dgunet/ablations", "a run", tags=tags, params={}, home=home) as run:
        run.set_result(per_image=made["per_image_sha256"])
    return here


def call(*words):
    done = CliRunner().invoke(command(), ["claims", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_judges_what_is_there_and_says_that_it_is_a_sample(home):
    text = call()
    assert text.startswith("SAMPLE: tiny networks")
    assert "34 claims: 1 supported, 0 contradicted, 0 inconclusive, 33 not testable here" in text
    assert "supported          without-fgdm-falls  (Section 4.6, Table 6)" in text
    assert "missing: no evaluation of stages-9 on Rain100H" in text
    assert f"Rain100H: {IMAGES} of 100 images" in text
    assert "its variation is not covered" in text
    assert "steps unknown" in text


def test_json_has_the_verdict_its_numbers_and_the_runs_behind_it(home):
    content = json.loads(call("--json"))
    assert content["profile"] == "sample"
    assert content["about"][0].startswith("SAMPLE")
    found = {each["claim"]: each for each in content["claims"]}[CLAIM]
    assert found["verdict"] == "supported"
    assert found["low_db"] < 0.6 < found["high_db"]
    assert found["p_holm"] == found["p"] == 0.0002
    runs = {run["name"]: run for run in found["runs"]}
    assert set(runs) == {"Rain100H, stages-7", "Rain100H, without-fgdm"}
    assert runs["Rain100H, stages-7"]["commit"] == "unknown"
    assert runs["Rain100H, stages-7"]["checkpoint_sha256"] == digest("stages-7", 0)
    assert runs["Rain100H, without-fgdm"]["data_digest"] == digest("data", "Rain100H", "sample")
    assert found["fixed"] == "unknown"  # of one run nothing is known


def test_the_steps_are_those_of_the_network_that_was_evaluated(home):
    build = home.home / "others"
    network = build / "models" / "trained" / "ablation-without-fgdm"
    network.mkdir(parents=True)
    (network / "network.safetensors").write_bytes(b"weights")
    write_json(network / "training.json", {"iterations": 60})
    folder, weights = build / "ablations" / "trained", sha256_file(network / "network.safetensors")
    evaluate(folder / "without-fgdm", "without-fgdm", 0.6, checkpoint_sha256=weights)
    evaluate(folder / "stages-7", "stages-7", 0.0)
    found = {each["claim"]: each for each in json.loads(call(build, "--json"))["claims"]}[CLAIM]
    steps = {run["name"]: run["steps"] for run in found["runs"]}
    assert steps == {"Rain100H, without-fgdm": "60", "Rain100H, stages-7": "unknown"}


def test_several_trainings_in_folders_are_judged_together(home):
    other = home.home / "second"
    evaluate(other / "stages-7", "stages-7", 0.0, training=1)
    evaluate(other / "without-fgdm", "without-fgdm", 0.5, training=1)
    content = json.loads(call(home.build, other, "--json"))
    found = {each["claim"]: each for each in content["claims"]}[CLAIM]
    assert found["trainings"] == "without-fgdm 2, stages-7 2"
    assert found["effect_db"] == pytest.approx(0.55, abs=0.05)
    assert len(found["runs"]) == 4
    assert not any("One training" in line for line in content["about"])


def test_markdown_has_a_line_for_each_claim(home):
    lines = [line for line in call("--markdown").splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + 34
    (line,) = (line for line in lines if CLAIM in line)
    assert "| supported |" in line


def test_mlflow_gets_the_table_the_counts_and_the_digest_of_the_claims(home):
    call("--mlflow", "claims of the sample")
    store = TrackingFolders.at(home.home)
    (run,) = (run for run in (*delivered(store), *pending(store)) if run.stage == "claims")
    assert run.metrics["claims/supported"] == 1
    assert run.metrics["claims/not_testable_here"] == 33
    assert len(run.tags["claims.digest"]) == 64
    tables = list(home.home.rglob("verdicts.json"))
    assert len(tables) == 1
    table = json.loads(tables[0].read_text())
    assert len(table["data"]) == 34


def test_every_profile_but_the_papers_is_said_loudly():
    first = {
        profile: scale(Judgement(profile, 1, ()))[0] for profile in ("sample", "reduced", "paper")
    }
    assert first["sample"].startswith("SAMPLE")
    assert first["reduced"].startswith("NOT THE PAPER'S SCALE") and "reduced" in first["reduced"]
    assert first["paper"] == "At the scale that was run: profile paper, 1 evaluations."


def test_other_trainings_below_build_are_not_compared_with_the_projects_networks(home):
    network = home.ablation_network("stages-7")
    network.mkdir(parents=True)
    (network / "network.safetensors").write_bytes(b"of another training")
    folder = home.build / "seeds" / "1"
    for row, fall in (("stages-7", 0.0), ("without-fgdm", 0.6)):
        evaluate(folder / row, row, fall, training=7)
    assert "34 claims: 1 supported" in call(folder)


def test_a_folder_without_results_and_two_formats_are_refused(home, tmp_path):
    (tmp_path / "none").mkdir()
    for words, said in (
        ((tmp_path / "absent",), "is no folder"),
        ((tmp_path / "none",), "has no evaluations"),
        (("--json", "--markdown"), "two formats"),
    ):
        done = CliRunner().invoke(command(), ["claims", *map(str, words)])
        assert done.exit_code == 1
        assert said in str(done.exception) + done.output


def test_an_infinite_end_is_no_number_in_json():
    outcome = claim_judging.judge_claims(claim_list.claims(), [])[0]
    endless = replace(outcome, effect=0.1, low=-math.inf, high=math.inf, detectable=math.inf)
    row = facts(JudgedClaim(endless, "", "", "", ()))
    assert (row["low_db"], row["high_db"], row["detectable_db"]) == (None, None, None)
