"""The end of a pipeline run: its MLflow runs are closed, and one run says how it went."""

from __future__ import annotations

import os
import sys

from dgunet.project import EXPERIMENTS
from dgunet.system.address import redact
from dgunet.system.errors import DgunetError
from dgunet.terms import RunTags
from dgunet.tracking import Layout, deliver, start_run
from dgunet.tracking.server import mlflow_store

CAMPAIGN = "DGUNET_CAMPAIGN"


class PipelineFailedError(DgunetError):
    """A step of a pipeline run failed; ends the campaign's own MLflow run as FAILED."""


def close_campaign(state: str, what: str, error: str = "") -> str:
    """Deliver what waits, end runs that a dead pod left open, and record how the pipeline ended.

    The campaign is the one that ``DGUNET_CAMPAIGN`` names, which marks all runs of one pipeline.

    Args:
        state: as Kubeflow says it, e.g. ``SUCCEEDED`` or ``FAILED``.
        what: the step, or group of steps, that ended.
        error: why, if it failed.

    Returns:
        One line for the log.
    """
    campaign = os.environ.get(CAMPAIGN) or "unnamed"
    layout = Layout.at()
    tracked = os.environ.get("DGUNET_TRACKING") != "off"
    closed = _end_open_runs(layout, campaign) if tracked else 0
    line = redact(f"campaign {campaign}: {what} {state}" + (f": {error}" if error else ""))
    more = {"pipeline.state": state, "pipeline.step": what}
    tags = RunTags("campaign", more=more).to_dict()
    try:
        name = f"campaign {campaign}"
        with start_run(EXPERIMENTS["campaigns"], name, tags=tags, params={}, closing=True) as run:
            run.log_metrics({"runs_closed": closed})
            if state != "SUCCEEDED":
                raise PipelineFailedError(line)
    except PipelineFailedError:
        pass  # the run has it; the pipeline's own state is not this step's to change
    return f"{line}; {closed} unfinished runs closed"


def _end_open_runs(layout: Layout, campaign: str) -> int:
    """End this campaign's RUNNING runs as KILLED; 0 and a word if MLflow cannot be asked."""
    if os.environ.get("DGUNET_TRACKING") == "later":
        return 0  # the process that delivers also ends what died
    deliver(layout)
    try:
        mlflow_store.ask(layout.uri)
        with mlflow_store.quiet_mlflow():
            client = mlflow_store.client(mlflow_store.ensure_store(layout))
            experiments = [found.experiment_id for found in client.search_experiments()]
            mine = f"tags.campaign = '{campaign}' and attributes.status = 'RUNNING'"
            runs = list(client.search_runs(experiments, mine)) if experiments else []
            for run in runs:
                client.set_tag(run.info.run_id, "error", "its step ended without a word")
                client.set_terminated(run.info.run_id, "KILLED")
            return len(runs)
    except Exception as error:  # whatever MLflow or the network throws: the end must be recorded
        print(f"dgunet: open runs were not closed: {mlflow_store.one_line(error)}", file=sys.stderr)
        return 0
