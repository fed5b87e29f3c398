"""Training as a step of the pipeline: inputs from the environment, one run in MLflow.

`dgunet.steps.train` calls, in this order::

    inputs = training_inputs(...)            the only place that reads the environment
    prepared = prepare_training(inputs)      `dgunet.training.preparation`
    with training_run(prepared, ...) as run:
        train_in_run(prepared, run)          `dgunet.training.job.run_training` with a reporter
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dgunet.config import Params, TrainingSettings
from dgunet.network import DGUNetConfig
from dgunet.system import environment
from dgunet.system.parent_process import end_with_parent
from dgunet.tracking import Run, TrackingFolders, deliver, delivered, pending, start_run
from dgunet.tracking.provenance import git_state
from dgunet.tracking.reports.progress import counting
from dgunet.tracking.reports.trainer_status import StatusServer, telling_trainer
from dgunet.tracking.reports.training_report import TrainingReport
from dgunet.tracking.run_end import Terminated
from dgunet.tracking.run_start import default_mode
from dgunet.training.checkpoints import Snapshot
from dgunet.training.distributed import LaunchedProcess
from dgunet.training.job import run_training
from dgunet.training.preparation import PreparedTraining, TrainingInputs
from dgunet.training.stopping import RESUME, InterruptedTrainingError


def training_inputs(
    params: Params,
    settings: TrainingSettings,
    network: DGUNetConfig,
    *,
    key: str,
    store: Path,
    out: Path,
    start: Path | None = None,
) -> TrainingInputs:
    """The inputs of a training in this process.

    A process that ``torchrun`` started is made to end with it.

    Raises:
        ConfigError: if a variable of ``torchrun`` is not a whole number.
    """
    process = LaunchedProcess.from_variables(environment.torchrun_variables())
    mirror = environment.CHECKPOINTS.get()
    if environment.TORCHELASTIC_RUN_ID.is_set():
        end_with_parent()
    layout = TrackingFolders.at()
    return TrainingInputs(
        profile=params.profile,
        key=key,
        settings=settings,
        runtime=params.active.runtime,
        seed=params.seed,
        network=network,
        store=store,
        out=out,
        start=start,
        checkpoint_root=layout.state / "checkpoints",
        mirror=mirror,
        process=process,
        commit=git_state(layout.home)[0],
    )


@contextmanager
def training_run(
    prepared: PreparedTraining,
    experiment: str,
    name: str,
    *,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
) -> Iterator[Run]:
    """Open a run with `dgunet.tracking.start_run`; a resumed training continues its MLflow run."""
    adopt, resumed = None, {}
    if prepared.earlier is not None:
        adopt = _interrupted_run(prepared.earlier)
        resumed = {
            "resumed.step": str(prepared.earlier["step"]),
            "resumed.journal": prepared.earlier["facts"]["journal"],
        }
    with start_run(experiment, name, tags=dict(tags) | resumed, params=params, adopt=adopt) as run:
        yield run


def train_in_run(prepared: PreparedTraining, run: Run) -> Path:
    """Train and report to ``run``; return the path of the weights.

    Raises:
        CheckpointError: if the weights to begin with are of another structure.
        DivergedError: if the loss is not finite.
        SystemExit: with status `RESUME` after SIGTERM, when the checkpoint is on the disk.
        KeyboardInterrupt: after Ctrl-C, when the checkpoint is on the disk.
    """
    leads = prepared.inputs.process.leads
    try:
        with (
            counting(prepared.inputs.key, "step", silent=not leads) as shown,
            telling_trainer(shown, StatusServer.from_environment(), leads=leads) as progress,
        ):
            return run_training(prepared, TrainingReport(run, progress, prepared))
    except InterruptedTrainingError as stop:
        if stop.number == signal.SIGINT:
            raise KeyboardInterrupt from stop
        raise Terminated(RESUME) from stop


def _interrupted_run(earlier: Snapshot) -> str | None:
    """The MLflow id of the checkpoint's run; None if MLflow does not have the run.

    The journals of killed processes are delivered first. Without an id, for example because the
    server is unreachable, a new run is made whose tags name the old one.
    """
    layout = TrackingFolders.at()
    if default_mode() not in ("later", "off"):
        deliver(layout)
    facts = earlier["facts"]
    known = {info.journal: info.run_id for info in [*pending(layout), *delivered(layout)]}
    return known.get(facts["journal"]) or facts["run_id"] or None
