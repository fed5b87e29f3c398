"""`dgunet status`, and the report that `dgunet report` writes and records."""

import json
import shutil

import numpy as np
import pytest
from made_results import digest, made_rows, reseal, write_result
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.project import ProjectFolders
from dgunet.system.files import sha256_file
from dgunet.system.seals import sealed_page
from dgunet.tools.project_status import as_text, project_status
from dgunet.tracking import TrackingFolders, delivered, pending, start_run


def call(*words):
    done = CliRunner().invoke(command(), [*words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def evaluate(folder, row, fall):
    rows = made_rows("Rain100H", 20)
    for each, noise in zip(rows, np.random.default_rng(len(row)).normal(size=20), strict=True):
        object.__setattr__(each, "psnr", each.psnr - fall + 0.05 * noise)
    weights = {"checkpoint_sha256": digest(row), "weights": "trained"}
    return write_result(folder, "Rain100H", row, rows=rows, **weights)


@pytest.fixture(scope="module")
def reported(project, tmp_path_factory):
    """A project with two evaluated ablations, its tables and its report."""
    home = tmp_path_factory.mktemp("reported") / "home"
    home.mkdir()
    (home / "params.yaml").write_text((project / "params.yaml").read_text())
    here = ProjectFolders(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_HOME", str(home))
        patch.setenv("DGUNET_TRACKING", "later")
        evaluate(here.ablation("stages-7"), "stages-7", 0.0)
        evaluate(here.ablation("without-fgdm"), "without-fgdm", 0.6)
        call("tables")
        call("report", "--mlflow", "a report")
    return here


@pytest.fixture
def here(reported, tmp_path, monkeypatch):
    """A copy that a test may change."""
    home = tmp_path / "home"
    shutil.copytree(reported.home, home)
    monkeypatch.setenv("DGUNET_HOME", str(home))
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    return ProjectFolders(home)


def commands(status):
    return [step.command for step in status.steps]


def test_the_report_judges_the_claims_and_is_recorded(reported):
    page = reported.report.read_text()
    assert "of 34: 1 supported, 33 not testable here" in page
    whole, without = (
        json.loads((reported.ablation(name) / "summary.json").read_text())["psnr"]
        for name in ("stages-7", "without-fgdm")
    )
    assert f"measured {whole - without:+.3f} dB" in page and "claimed +0.550 dB" in page
    assert "SAMPLE: tiny networks" in page
    store = TrackingFolders.at(reported.home)
    (run,) = (run for run in (*delivered(store), *pending(store)) if run.stage == "report")
    assert (run.experiment, run.name, run.profile) == ("dgunet/report", "a report", "sample")
    assert run.results == {"report": sha256_file(reported.report)}
    recorded = list(store.journals.rglob("*report.html"))
    assert [path.read_text() for path in recorded].count(page) == 1


def test_the_status_has_the_counts_of_tables_and_report(here):
    status = project_status(here.home)
    assert (status.profile, status.evaluations) == ("sample", 2)
    assert status.tables["Table 6"]["not compared"] == 2
    assert status.tables["Table 1"]["not run"] == 24
    assert sum(sum(counts.values()) for counts in status.tables.values()) == 94
    assert status.claims["supported"] == 1 and status.claims["not testable here"] == 33
    assert status.current == {"tables": True, "report": True}
    assert "claims    of 34: 1 supported, 33 not testable here" in as_text(status)
    assert "SAMPLE" in as_text(status)
    assert len(as_text(status).splitlines()) <= 40
    content = json.loads(call("status", "--json"))
    assert content["claims"] == status.claims and content["tables"] == status.tables
    assert "dgunet campaign table1 --plan" in call("status")


def test_it_names_what_is_missing_and_the_command(here):
    status = project_status(here.home)
    assert "Rain100H-DGUNet" in status.missing and "stages-7" not in status.missing
    assert commands(status)[0] == "dvc repro"
    assert "dgunet tables" not in commands(status) and "dgunet report" not in commands(status)
    shutil.rmtree(here.tables)
    here.report.unlink()
    status = project_status(here.home)
    assert commands(status)[1:3] == ["dgunet tables", "dgunet report"]
    assert status.tables == {} and status.claims is None
    assert "not judged" in as_text(status)


def test_results_that_are_newer_than_tables_and_report_are_noticed(here):
    evaluate(here.ablation("stages-9"), "stages-9", -0.2)
    status = project_status(here.home)
    assert status.current == {"tables": False, "report": False}
    assert {"dgunet tables", "dgunet report"} <= set(commands(status))
    assert as_text(status).count("(older than the results)") == 2


@pytest.mark.parametrize("name", ["cells.parquet", "verdicts.csv"])
def test_edited_tables_are_not_counted(here, name):
    path = here.tables / name
    path.write_bytes(path.read_bytes()[:-1])
    status = project_status(here.home)
    assert status.tables == {}
    assert any("tables cannot be trusted" in step.missing for step in status.steps)


def test_an_edited_report_or_one_of_an_earlier_version_has_no_claims(here):
    text = here.report.read_text()
    here.report.write_text(text.replace("&#34;supported&#34;: 1", "&#34;supported&#34;: 9"))
    status = project_status(here.home)
    assert status.claims is None
    assert any("SHA-256" in step.missing for step in status.steps)
    here.report.unlink()
    here.report.write_text(sealed_page("<html><head></head><style></style></html>"))
    assert any("earlier version" in step.missing for step in project_status(here.home).steps)


def test_tables_that_are_no_parquet_file_or_of_another_profile_are_said_to_be_so(here):
    (here.tables / "cells.parquet").write_bytes(b"no parquet")
    reseal(here.tables)
    assert any("cannot be trusted" in s.missing for s in project_status(here.home).steps)
    shutil.rmtree(here.tables)
    call("tables")
    text = here.params.read_text()
    here.params.write_text(text.replace("profile: sample", "profile: paper", 1))
    status = project_status(here.home)
    assert status.evaluations == 0 and status.tables == {}
    assert any("not of the profile paper" in step.missing for step in status.steps)


def test_runs_are_shown_with_their_time_and_whether_they_live(here, monkeypatch):
    with start_run("dgunet/x", "train cs", tags={"stage": "train"}, params={}, home=here.home):
        status = project_status(here.home)
        assert [run.name for run in status.running] == ["train cs"]
        assert "running   train cs" in as_text(status)
        before = status.waiting
    status = project_status(here.home)
    assert status.running == () and status.waiting == before + 1
    assert (status.last[0].name, status.last[0].status) == ("train cs", "FINISHED")
    assert status.last[0].begun[:2] == "20" and status.last[0].begun.endswith("UTC")
    assert "dgunet tracking sync" in commands(status)
    monkeypatch.delenv("DGUNET_HOME")


def test_a_folder_without_anything_says_what_to_run(tmp_path, here):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert commands(project_status(empty)) == ["cd CLONE && make reproduce"]
    shutil.copy(here.params, empty)
    assert commands(project_status(empty))[0] == "make reproduce"
    assert [path.name for path in empty.iterdir()] == ["params.yaml"]
