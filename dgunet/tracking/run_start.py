"""Opening a run, and ending it with the right status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dgunet.system import environment
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.journal.writing import JournalWriter, now_ms
from dgunet.tracking.machine_metrics import sampling_machine
from dgunet.tracking.provenance import process_facts, standard_tags
from dgunet.tracking.run import Run
from dgunet.tracking.run_end import Terminated, end_status, terminable
from dgunet.tracking.run_notes import NOTE, describe_run
from dgunet.tracking.server.limited_client import short_time_limit
from dgunet.tracking.tracking_mode import Mode, tracking_mode


def default_mode() -> Mode:
    """The mode of ``DGUNET_TRACKING``; without it, ``share`` in a DVC stage and ``now`` elsewhere.

    Raises:
        ConfigError: if the value is not a mode.
    """
    otherwise: Mode = "share" if environment.DVC_STAGE.is_set() else "now"
    return tracking_mode(environment.TRACKING.get(), otherwise)


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
    mode: Mode | None = None,
) -> Iterator[Run]:
    """Open a run; it ends FINISHED, FAILED with the tag ``error``, or KILLED.

    The mode decides when the run is sent to MLflow: ``now`` (at its end, and every minute of a
    long run), ``later`` (by ``dgunet tracking sync``), ``share`` (as ``now``, but a run that ends
    shortly after another delivery waits for the next one) or ``off``. Only process 0 of a
    distributed training records a run. A run whose tag ``resumed.journal`` names an earlier journal
    of this project continues the run of that journal. The load of the machine is recorded as well.

    Args:
        experiment: the MLflow experiment, one for each table.
        name: the run's name.
        tags: at least ``profile`` and ``stage``; the standard tags are added.
        params: settings known at the start.
        home: the project's folder; default: `project_home`.
        closing: this run is the last of a pipeline; waiting runs are delivered together with it.
        adopt: id of an MLflow run to continue. ``MLFLOW_RUN_ID``, which Kubeflow Pipelines sets,
            takes precedence.
        mode: default: `default_mode`.

    Raises:
        DgunetError: if the journal cannot be written.
        ConfigError: for an unknown ``DGUNET_TRACKING``.
    """
    folders = TrackingFolders.at(home)
    mode = mode or default_mode()
    if mode == "off" or environment.RANK.get() != "0":
        yield Run(folders, None, "off")
        return
    about = describe_run(tags)
    header = {
        "experiment": experiment,
        "name": name,
        "start": now_ms(),
        "tags": ({NOTE: about} if about else {}) | standard_tags(folders.home, tags),
        "adopt": environment.MLFLOW_RUN_ID.take() or adopt,
        "continues": tags.get("resumed.journal"),
    }
    run = Run(folders, JournalWriter(folders.journals, header), mode, about)
    with terminable():
        try:
            run.log_json(process_facts(), "provenance.json")
            run.log_params(params)
            with sampling_machine(run):
                yield run
        except (Terminated, KeyboardInterrupt) as stop:
            with short_time_limit():  # SIGKILL usually follows SIGTERM soon
                run.end(*end_status(stop))
            raise
        except BaseException as error:
            run.end(*end_status(error))
            raise
        run.end("FINISHED", closing=closing)
