"""Opening a run and ending it the right way, whatever happens in between."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dgunet.tracking.home import Layout
from dgunet.tracking.journal.writing import JournalWriter, now_ms
from dgunet.tracking.machine_metrics import watching
from dgunet.tracking.provenance import standard_tags
from dgunet.tracking.run import Run, mode_from
from dgunet.tracking.run_end import Terminated, terminable, verdict
from dgunet.tracking.server.limited_client import hurried


@contextmanager
def start_run(
    experiment: str,
    name: str,
    *,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    home: Path | None = None,
    closing: bool = False,
    adopt: str | None = None,
) -> Iterator[Run]:
    """Open a run; it ends FINISHED, FAILED with the tag ``error``, or KILLED.

    ``DGUNET_TRACKING`` says when MLflow hears of it: ``now`` (at the end, and each minute of a
    long run), ``later`` (with ``dgunet tracking sync``), ``share`` (as ``now``, but stages that
    end shortly after another delivery leave theirs to the next; the default under DVC), ``off``.
    Only rank 0 of a distributed run speaks. A run that ``MLFLOW_RUN_ID`` names, as Kubeflow
    Pipelines sets it, is adopted; one whose tag ``resumed.journal`` names an earlier journal of
    this project goes on with that journal's run. The machine's load is recorded along with it.

    Args:
        experiment: the MLflow experiment, one for each table.
        name: the run's name.
        tags: at least ``profile`` and ``stage``; the standard tags are added.
        params: settings known at the start.
        home: the project's folder; found from the working directory without it.
        closing: this run ends a chain, so what earlier stages left is delivered with it.
        adopt: the id of a run in MLflow to continue, unless ``MLFLOW_RUN_ID`` names one.

    Raises:
        DgunetError: if the journal cannot be written.
        ConfigError: for an unknown ``DGUNET_TRACKING``.
    """
    layout = Layout.at(home)
    mode = mode_from(os.environ, "share" if "DVC_STAGE" in os.environ else "now")
    if mode == "off" or os.environ.get("RANK", "0") != "0":
        yield Run(layout, None, "off")
        return
    header = {
        "experiment": experiment,
        "name": name,
        "start": now_ms(),
        "tags": standard_tags(layout.home, tags),
        "adopt": os.environ.pop("MLFLOW_RUN_ID", adopt),
        "continues": tags.get("resumed.journal"),
    }
    run = Run(layout, JournalWriter(layout.journals, header), mode)
    with terminable():
        try:
            run.log_params(params)
            with watching(run):
                yield run
        except (Terminated, KeyboardInterrupt) as stop:
            with hurried():  # who sent SIGTERM soon sends SIGKILL
                run.end(*verdict(stop))
            raise
        except BaseException as error:
            run.end(*verdict(error))
            raise
        run.end("FINISHED", closing=closing)
