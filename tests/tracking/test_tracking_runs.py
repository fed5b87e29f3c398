"""`dgunet runs` in the terminal, and links to MLflow's comparison pages."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from urllib.parse import parse_qs, unquote

import pytest
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.system.errors import ConfigError
from dgunet.tracking import RunInfo, TrackingFolders, delivered, start_run
from dgunet.tracking.index import add_delivered_run, damaged_lines
from dgunet.tracking.run_frames import history, runs_frame
from dgunet.tracking.ui_links import charts_url, compare_url


@pytest.fixture
def ablations(project: TrackingFolders, monkeypatch: pytest.MonkeyPatch) -> TrackingFolders:
    """Runs of three ablations, one of them repeated, and of a training."""
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    scores = ((9, 31.0), (7, 30.5), (3, 28.0), (3, 28.5))
    for stages, psnr in scores:
        tags = {"stage": "evaluate", "profile": "sample", "table": "5 6" if stages == 7 else "5"}
        params = {"stages": stages}
        with start_run("dgunet/table-5-x", f"stages-{stages}", tags=tags, params=params) as run:
            run.log_metrics({"psnr": psnr, "system/cpu_utilization_percentage": 50.0})
    with start_run(
        "dgunet/table-1-x", "train", tags={"stage": "train", "profile": "sample"}, params={}
    ):
        pass
    return project


def runs(*options: str) -> str:
    result = CliRunner().invoke(command(), ["runs", *options])
    assert result.exit_code == 0, result.output
    return result.output


def column(text: str) -> list[str]:
    return [line.split("  ")[0] for line in text.splitlines()[2:]]


def test_runs_are_filtered_sorted_and_compared(ablations: TrackingFolders) -> None:
    sort = ("--sort", "psnr", "--show", "psnr", "--show", "stages")
    assert column(runs("--table", "5", *sort)) == ["stages-9", "stages-7", "stages-3", "stages-3"]
    assert column(runs("--table", "6")) == ["stages-7"]
    assert column(runs("--where", "stages=3")) == ["stages-3", "stages-3"]
    assert runs("--where", "stages=3", "--where", "row=none") == "no runs\n"
    compared = runs("--table", "5", "--compare").splitlines()
    lines = {line.split()[0]: line.split()[1:] for line in compared[2:]}
    assert lines["stages"] == ["9", "7", "3", "3"] and lines["psnr"] == ["31", "30.5", "28", "28.5"]
    assert "profile" not in lines and not any("cpu" in name for name in lines)
    assert runs("--table", "6", "--compare").startswith("only 'stages-7' matches")
    assert column(runs("--status", "finished")) == column(runs())
    for options, expected in (
        (("--where", "stages"), "KEY=VALUE"),
        (("--sort", "psrn"), "has 'psrn'. Similar names: psnr"),
        (("--show", "xyz"), "a tag, a parameter or one of the metrics psnr."),
        (("--status", "done"), "RUNNING, FINISHED, FAILED, KILLED"),
    ):
        refused = CliRunner().invoke(command(), ["runs", *options])
        assert refused.exit_code == 1
        error = refused.exception
        assert isinstance(error, ConfigError) and expected in f"{error.message} {error.hint}"
    assert CliRunner().invoke(command(), ["runs", "--table", "7"]).exit_code == 2


def test_the_server_lists_the_same_runs_as_the_index(ablations: TrackingFolders) -> None:
    waiting = runs("--links")
    assert waiting.splitlines()[-1].endswith("dgunet tracking sync")
    assert CliRunner().invoke(command(), ["tracking", "sync"]).exit_code == 0
    local = sorted(runs("--show", "psnr", "--show", "stages").splitlines())
    assert sorted(runs("--show", "psnr", "--show", "stages", "--server").splitlines()) == local


def test_run_frames_have_numeric_columns(ablations: TrackingFolders) -> None:
    CliRunner().invoke(command(), ["tracking", "sync"])
    known = [info for info in delivered(ablations) if info.stage == "evaluate"]
    frame = runs_frame(known)
    assert frame["stages"].tolist() == [9, 7, 3, 3] and frame["psnr"].dtype == float
    assert frame["table"].tolist() == ["5", "5 6", "5", "5"], "not all values are numbers"
    points = history(ablations, known[:2], "psnr")
    assert points.values.tolist() == [["stages-9", 0, 31.0], ["stages-7", 0, 30.5]]


def test_links_open_the_newest_run_of_each_name(ablations: TrackingFolders) -> None:
    CliRunner().invoke(command(), ["tracking", "sync"])
    lines = runs("--table", "5", "--stage", "evaluate", "--links").splitlines()
    charts, compare = (line.split()[-1] for line in lines[-2:])
    known = [info for info in delivered(ablations) if info.stage == "evaluate"]
    assert charts == charts_url(known[0])
    query = parse_qs(charts.partition("?")[2])
    assert query["searchFilter"] == ["tags.campaign = 'sample-local' and tags.stage = 'evaluate'"]
    assert query["compareRunsMode"] == ["CHART"]
    ids = json.loads(parse_qs(unquote(compare).partition("?")[2])["runs"][0])
    assert ids == [known[i].run_id for i in (0, 1, 3)]
    assert compare_url(known[:1]) is None


def test_dirty_is_a_boolean_in_memory_and_text_in_the_index(bare: TrackingFolders) -> None:
    texts = {one.name: one.name for one in fields(RunInfo) if one.default_factory is MISSING}
    states = {"a": True, "b": False, "c": None}
    for journal, dirty in states.items():
        add_delivered_run(bare, RunInfo(**texts | {"journal": journal, "dirty": dirty}))  # type: ignore[arg-type]
    lines = [json.loads(line) for line in bare.index.read_text().splitlines()]
    assert [line["dirty"] for line in lines] == ["true", "false", "unknown"]
    assert {info.journal: info.dirty for info in delivered(bare)} == states
    odd = {key: value for key, value in lines[0].items() if key != "sum"} | {"dirty": True}
    with bare.index.open("a") as file:
        file.write(json.dumps(odd) + "\n")
    assert damaged_lines(bare) == [(4, "the field 'dirty' is of the wrong type")]
