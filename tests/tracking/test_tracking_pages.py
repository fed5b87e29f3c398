"""Pages of MLflow's UI: links to them, notes above the runs, saved views of the tables."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.cli.tracking_commands import tracking
from dgunet.tracking import TrackingFolders, deliver, delivered, ensure_store, start_run
from dgunet.tracking.experiment_pages import NOTE
from dgunet.tracking.saved_views import view_tag
from dgunet.tracking.ui_links import charts_url, compare_url, experiments_url, run_url, view_url
from dgunet.tracking.ui_port import remember_ui_port

PROFILE = {"profile": "sample"}
EXPERIMENT = "dgunet/ablations"


def score(name: str, tables: str, psnr: float | None, experiment: str = EXPERIMENT) -> None:
    tags = PROFILE | {"stage": "evaluate", "table": tables, "dataset": "Rain100H"}
    with start_run(experiment, name, tags=tags, params={"stages": 7}) as run:
        run.log_metrics({} if psnr is None else {"psnr": psnr})


def tags_of(client: Any, experiment: str = EXPERIMENT) -> dict[str, str]:
    return dict(client.get_experiment_by_name(experiment).tags)


def state_of(tag: str) -> dict[str, Any]:
    view = json.loads(tag)
    assert isinstance(view["name"], str) and isinstance(view["createdAt"], int)
    packed = view["state"].removeprefix("deflate;")
    assert packed != view["state"] and len(tag) < 5000, "MLflow's limit"
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def test_every_link_opens_the_page_of_model_training(
    project: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    score("stages-7", "5 6", 30.0)
    score("stages-3", "5", 28.0)
    infos = delivered(project)
    urls = [run_url(infos[0]), charts_url(infos[0]), view_url(infos[0], "v"), compare_url(infos)]
    for url in (*urls, experiments_url(project)):
        page = urlsplit(str(url))
        assert (page.scheme, page.netloc, page.path) == ("http", "127.0.0.1:5000", "/")
        assert parse_qs(page.fragment.partition("?")[2])["workflowType"] == ["machine_learning"]
        assert page.query == "", "MLflow reads the query behind the #"
    assert "/#/compare-runs?runs=" in str(compare_url(infos)), "MLflow requires `runs` to be first"
    remember_ui_port(project, 5044)
    assert str(run_url(infos[0])).startswith("http://127.0.0.1:5044/#/experiments/")
    project.ui_port.write_text("99999")
    assert ":5000/" in experiments_url(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org/track/")
    assert experiments_url(project).startswith("https://mlflow.example.org/track/#/experiments?")
    shown = CliRunner().invoke(tracking, ["ui"]).output
    assert experiments_url(project) in shown and "secret" not in shown


def test_the_links_of_a_table_begin_with_its_view(project: TrackingFolders) -> None:
    score("stages-7", "5 6", 30.0)
    output = CliRunner().invoke(command(), ["runs", "--table", "6", "--links"]).output
    line = next(line for line in output.splitlines() if line.startswith("runs by PSNR:"))
    assert "?viewStateShareKey=dgunet-table-6&" in line


def test_a_view_shows_the_runs_of_its_table_by_psnr(project: TrackingFolders, client: Any) -> None:
    for name, tables, psnr in (("stages-7", "5 6", 30.0), ("stages-3", "5", 28.0)):
        score(name, tables, psnr)
    score("without-sp", "6", 29.0)
    score("waits for a server", "5", None)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    shown = {}
    for table in (5, 6):
        state = state_of(experiment.tags[view_tag(table)])
        order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
        found = client.search_runs(
            [experiment.experiment_id], state["searchFilter"], order_by=[order]
        )
        shown[table] = [run.info.run_name for run in found]
        assert state["selectedColumns"][:2] == ["metrics.`psnr`", "metrics.`ssim`"]
        assert "params.`stages`" in state["selectedColumns"]
        assert state["compareRunCharts"][0]["metricKey"] == "psnr"
        sections = {section["uuid"] for section in state["compareRunSections"]}
        assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} <= sections
    assert shown == {5: ["stages-7", "stages-3"], 6: ["stages-7", "without-sp"]}
    note = experiment.tags[NOTE]
    for table in (5, 6):
        assert f"(#/experiments/{experiment.experiment_id}/runs?" in note
        assert f"viewStateShareKey=dgunet-table-{table}" in note.splitlines()[2 * (table - 5)]


def test_notes_and_views_are_written_once_and_yield_to_people(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    score("a", "1", 30.0, "dgunet/table-1-deraining")
    experiment = client.get_experiment_by_name("dgunet/table-1-deraining")
    written: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(client, "set_experiment_tag", lambda _, key, __: written.append(key))
        score("b", "1", 31.0, "dgunet/table-1-deraining")
    assert written == []
    client.set_experiment_tag(experiment.experiment_id, NOTE, "our own words")
    changed = json.loads(experiment.tags[view_tag(1)]) | {"updatedAt": 1_800_000_000_000}
    client.set_experiment_tag(experiment.experiment_id, view_tag(1), json.dumps(changed))
    score("c", "1 2", 31.0, "dgunet/table-1-deraining")
    tags = tags_of(client, "dgunet/table-1-deraining")
    assert tags[NOTE] == "our own words" and json.loads(tags[view_tag(1)]) == changed
    assert view_tag(2) in tags


def test_init_describes_the_experiments_of_earlier_versions(
    project: TrackingFolders, client: Any
) -> None:
    score("stages-7", "5 6", 30.0)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    before = dict(experiment.tags)
    for key in before:
        client.delete_experiment_tag(experiment.experiment_id, key)
    other = client.create_experiment("somebody else's")
    result = CliRunner().invoke(tracking, ["init"])
    assert result.exit_code == 0 and "views of 1 experiments" in result.output
    assert tags_of(client) == before
    assert NOTE not in client.get_experiment(other).tags


def test_init_does_not_need_the_server(
    bare: TrackingFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    result = CliRunner().invoke(tracking, ["init"])
    assert result.exit_code == 0 and "were not written" in result.output
    assert str(ensure_store(bare)) == "http://127.0.0.1:9"


def test_a_refused_note_does_not_hold_back_the_run(
    project: TrackingFolders, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    def refuse(*_: Any) -> None:
        raise MlflowException("too long", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(client, "set_experiment_tag", refuse)
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    score("a", "1", 30.0)
    assert deliver(project).sent == ["a"]
