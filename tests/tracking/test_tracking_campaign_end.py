"""The end of a campaign in MLflow, by the state that Kubeflow reports or by what was made."""

import pytest

from dgunet.kubeflow.steps.close_campaign import close_campaign
from dgunet.tracking import start_run


@pytest.fixture(autouse=True)
def campaign(project, monkeypatch):
    monkeypatch.setenv("DGUNET_CAMPAIGN", "c1")


def tables(campaign, monkeypatch, *, fails=False):
    """Make the tables of a campaign, or fail to."""
    monkeypatch.setenv("DGUNET_CAMPAIGN", campaign)
    tags = {"stage": "tables", "profile": "sample"}
    try:
        with start_run("dgunet/tables", "tables", tags=tags, params={}):
            if fails:
                raise RuntimeError("no space left")
    except RuntimeError:
        pass
    monkeypatch.setenv("DGUNET_CAMPAIGN", "c1")


def end(client):
    """Status and tags of the campaign's own run."""
    (experiment,) = [e for e in client.search_experiments() if e.name == "dgunet/campaigns"]
    (run,) = client.search_runs([experiment.experiment_id])
    return run.info.status, run.data.tags


@pytest.mark.parametrize(
    ("state", "status"),
    [("SUCCEEDED", "FINISHED"), ("FAILED", "FAILED"), ("CANCELED", "FAILED")],
)
def test_a_reported_end_is_recorded(client, state, status):
    close_campaign(state, "reproduce", "train-3: out of memory")
    found, tags = end(client)
    assert (found, tags["pipeline.state"]) == (status, state)
    if status == "FAILED":
        assert "out of memory" in tags["error"]


def test_a_running_pipeline_whose_tables_were_made_has_succeeded(client, monkeypatch):
    tables("c1", monkeypatch)
    line = close_campaign("RUNNING", "exit-handler-1")
    status, tags = end(client)
    assert (status, tags["pipeline.state"]) == ("FINISHED", "SUCCEEDED")
    assert "the server reported RUNNING" in line and "the tables were made" in line


@pytest.mark.parametrize("others", ["none", "failed", "of another campaign"])
def test_a_running_pipeline_without_tables_has_failed(client, monkeypatch, others):
    if others != "none":
        tables("c1" if others == "failed" else "c2", monkeypatch, fails=others == "failed")
    close_campaign("RUNNING", "exit-handler-1")
    status, tags = end(client)
    assert (status, tags["pipeline.state"]) == ("FAILED", "FAILED")
    assert "no tables were made" in tags["error"] and "13321" in tags["error"]


def test_without_mlflow_the_end_is_unknown(project, monkeypatch):
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    line = close_campaign("RUNNING", "exit-handler-1")
    assert "UNKNOWN: the server reported RUNNING" in line
