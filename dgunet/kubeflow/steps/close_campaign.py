"""The last step of a pipeline run: close its MLflow runs and record how the pipeline ended."""

from __future__ import annotations

import logging
from typing import Any

from dgunet.project import EXPERIMENTS
from dgunet.system import environment
from dgunet.system.address import redact
from dgunet.system.errors import DgunetError
from dgunet.system.logs import log_to_stderr
from dgunet.terms import RunTags
from dgunet.tracking import TrackingFolders, deliver, start_run
from dgunet.tracking.server import mlflow_store

ENDS = ("SUCCEEDED", "FAILED", "CANCELED", "CANCELLED", "SKIPPED", "ERROR")
"""States in which a pipeline has ended. Servers without the fix of kubeflow/pipelines 13321 report
RUNNING instead if there was a loop."""

UNKNOWN = "UNKNOWN"

_LOG = logging.getLogger(__name__)


class PipelineFailedError(DgunetError):
    """A step of a pipeline run failed; ends the MLflow run of the campaign as FAILED."""


def close_campaign(state: str, what: str, error: str = "") -> str:
    """Deliver waiting runs, end runs that dead pods left open, and record the pipeline's end.

    The campaign is the one of ``DGUNET_CAMPAIGN``, which all runs of one pipeline run carry as a
    tag.

    Args:
        state: final state as Kubeflow reports it, e.g. ``SUCCEEDED`` or ``FAILED``. If it is not an
            end (see `ENDS`), the tables decide: they are made after all results, or not at all.
        what: the step, or group of steps, that ended.
        error: reason for a failure.

    Returns:
        One line for the log.
    """
    log_to_stderr()
    campaign = environment.CAMPAIGN.get() or "unnamed"
    mode = environment.TRACKING.get()
    # With "later", the process that delivers also ends runs of dead processes.
    closed = 0 if mode in ("off", "later") else _end_open_runs(TrackingFolders.at(), campaign)
    if state not in ENDS:
        state, error = _state_by_tables(TrackingFolders.at(), campaign, state, mode)
    line = redact(f"campaign {campaign}: {what} {state}" + (f": {error}" if error else ""))
    more = {"pipeline.state": state, "pipeline.step": what}
    tags = RunTags("campaign", more=more).to_dict()
    try:
        name = f"campaign {campaign}"
        with start_run(EXPERIMENTS["campaigns"], name, tags=tags, params={}, closing=True) as run:
            run.log_metrics({"runs_closed": closed})
            if state not in ("SUCCEEDED", UNKNOWN):
                raise PipelineFailedError(line)
    except PipelineFailedError:
        pass  # recorded in MLflow; this step must not change the state of the pipeline
    return f"{line}; {closed} unfinished runs closed"


def _state_by_tables(
    folders: TrackingFolders, campaign: str, reported: str, mode: str
) -> tuple[str, str]:
    """The state of a pipeline whose server does not report its end, and the reason."""
    why = (
        f"the server reported {reported} at the end, as before the fix of kubeflow/pipelines 13321"
    )
    if mode in ("off", "later"):
        return UNKNOWN, f"{why}; without MLflow nothing else shows how the pipeline ended"
    try:
        with mlflow_store.quiet_mlflow():
            made = "tags.stage = 'tables' and attributes.status = 'FINISHED'"
            _, found = _runs_of(folders, campaign, made)
    except Exception as problem:  # any error of MLflow or the network: the end must be recorded
        return UNKNOWN, f"{why}; MLflow does not respond: {mlflow_store.one_line(problem)}"
    if found:
        return "SUCCEEDED", f"{why}; the tables were made"
    return "FAILED", f"{why}; no tables were made"


def _runs_of(folders: TrackingFolders, campaign: str, condition: str) -> tuple[Any, list[Any]]:
    """MLflow's client, and the campaign's runs that meet ``condition``."""
    client = mlflow_store.client(mlflow_store.ensure_store(folders))
    experiments = [found.experiment_id for found in client.search_experiments()]
    wanted = f"tags.campaign = '{campaign}' and {condition}"
    return client, list(client.search_runs(experiments, wanted)) if experiments else []


def _end_open_runs(folders: TrackingFolders, campaign: str) -> int:
    """End this campaign's RUNNING runs as KILLED; 0 and a log line if MLflow is unavailable."""
    deliver(folders)
    try:
        mlflow_store.ask(folders.uri)
        with mlflow_store.quiet_mlflow():
            client, runs = _runs_of(folders, campaign, "attributes.status = 'RUNNING'")
            for run in runs:
                client.set_tag(run.info.run_id, "error", "its step ended without a result")
                client.set_terminated(run.info.run_id, "KILLED")
            return len(runs)
    except Exception as error:  # any error of MLflow or the network: the end must be recorded
        _LOG.warning("open runs were not closed: %s", mlflow_store.one_line(error))
        return 0
