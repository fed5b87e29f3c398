"""One training as the stages do it: the run in MLflow, the checkpoints, the files it leaves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from dgunet import __version__, network
from dgunet.config import Params, TrainParams
from dgunet.data.batches.augment import augmentation
from dgunet.data.batches.holdout import Pictures, hold_out
from dgunet.data.batches.joined_store import JoinedStore
from dgunet.data.batches.training_batches import TrainingBatches
from dgunet.data.store.pair_store import PairStore
from dgunet.recipes.naming import recipe_name
from dgunet.system import files
from dgunet.system.errors import CheckpointError, DataError
from dgunet.system.parent_process import end_with_parent
from dgunet.terms import CHECKPOINT_TAG, DATA_TAG
from dgunet.tracking import Run, TrackingFolders, deliver, delivered, pending, start_run
from dgunet.tracking.provenance import git_state
from dgunet.tracking.reports.network_numbers import numeric_params
from dgunet.tracking.reports.progress import counting
from dgunet.tracking.reports.training_report import PICTURES, Watch
from dgunet.tracking.run_end import Terminated
from dgunet.training import (
    RESUME,
    Batches,
    Checkpoints,
    DivergedError,
    InterruptedTrainingError,
    MixUp,
    Snapshot,
    TrainingConfig,
    TrainingResult,
    Validation,
    World,
    train,
    world,
)
from dgunet.training.checkpoint_mirror import VARIABLE, Copies
from dgunet.training.loop import pick_device
from dgunet.training.outcome import Selection, write_outcome


class TrainingJob:
    """A network of ``config`` to be trained on ``store``; a killed one goes on where it stopped.

    Checkpoints lie in ``.dgunet/checkpoints`` of the project, in a folder of their own for each
    ``key`` and ``out``, because DVC empties ``out`` before it starts a stage. They go when the run
    is finished. Under ``torchrun`` every process makes the same job.

    Args:
        params: of the whole project.
        knobs: the training's.
        config: the network's structure.
        key: the network's name.
        store: a prepared training set. Further ones (``beside``), and a test set that the weights
            are chosen on, lie beside it.
        out: where the trained network goes.
        start: weights to begin with, of a network of the same structure; drawn at random without.

    Raises:
        DataError: if a store is missing or damaged, or too small for a part to be held out.
        CheckpointError: if there are checkpoints of other settings or other data, or ``start``
            cannot be read.
    """

    def __init__(
        self,
        params: Params,
        knobs: TrainParams,
        config: network.DGUNetConfig,
        *,
        key: str,
        store: Path,
        out: Path,
        start: Path | None = None,
    ) -> None:
        if "TORCHELASTIC_RUN_ID" in os.environ:
            end_with_parent()
        self.params, self.knobs, self.config = params, knobs, config
        self.key, self.store, self.out, self.start = key, store, out, start
        self.pairs = JoinedStore.open([store, *(store.parent / n for n in knobs.beside)])
        self._records: list[int] | None = None
        self._judge = self._pictures()
        layout = TrackingFolders.at()
        self._facts = {
            "version": __version__,
            "torch": str(torch.__version__),
            "commit": git_state(layout.home)[0],
            "processes": os.environ.get("WORLD_SIZE", "1"),
        }
        self._run: Run | None = None
        place = files.sha256_bytes(str(out.resolve()).encode())[:8]
        self.checkpoints = Checkpoints(
            layout.state / "checkpoints" / f"{key}-{place}",
            self.identity,
            seconds=params.active.runtime.checkpoint_seconds,
            facts=self._known,
            copies=self._copies(),
        )
        self.earlier = self.checkpoints.newest() if self.leads else None

    def _copies(self) -> Copies | None:
        """Named by what the training is, not by where it runs: the next machine finds them."""
        if not (place := os.environ.get(VARIABLE)):
            return None
        return Copies(place, f"{self.key}-{files.sha256_json(self.identity)[:12]}")

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and reports, and not only helps to train."""
        return os.environ.get("RANK", "0") == "0"

    def _pictures(self) -> tuple[Pictures, str] | None:
        """What to validate on, and its digest; sets apart what is held out."""
        if (plan := self.knobs.validation) is None:
            return None
        if plan.test_set is None:
            self._records, held = hold_out(self.pairs, plan.fraction, self.params.seed)
            return Pictures(self.pairs, held, plan.crop), self.pairs.manifest.digest
        other = PairStore.open(self.store.parent / plan.test_set)
        if other.manifest.task != self.pairs.manifest.task:
            raise DataError(
                f"{other.folder} is for {other.manifest.task}, the training set "
                f"{self.store} for {self.pairs.manifest.task}.",
                "Name a test set of the same task in validation.test_set.",
            )
        return Pictures(other, range(len(other)), plan.crop), other.manifest.digest

    @property
    def hyper(self) -> TrainingConfig:
        """The settings of the loop."""
        apart = {"batch", "patch", "augment", "mixup_after", "validation", "crops", "beside"}
        runtime = self.params.active.runtime
        return TrainingConfig(
            **self.knobs.model_dump(exclude=apart),
            seed=self.params.seed,
            device=runtime.device,
            threads=runtime.threads,
        )

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must agree with to be of this run."""
        settings = {
            "train": self.knobs.model_dump(),
            "network": self.config.to_dict(),
            "seed": self.params.seed,
            "threads": self.params.active.runtime.threads,
            "device": pick_device(self.params.active.runtime.device),
            "data": {
                "set": self.pairs.manifest.dataset,
                "digest": self.pairs.manifest.digest,
                "validation": self._judge[1] if self._judge else "",
            },
            "start": files.sha256_file(self.start) if self.start else "",
        }
        return {name: str(value) for name, value in flat(settings).items()}

    def _known(self) -> dict[str, str]:
        run = {
            "journal": self._run.journal_id if self._run else "",
            "run_id": (self._run.run_id or "") if self._run else "",
        }
        return self._facts | run

    @contextmanager
    def start_run(
        self, experiment: str, name: str, *, tags: Mapping[str, str], params: Mapping[str, Any]
    ) -> Iterator[Run]:
        """As `dgunet.tracking.start_run`; a resumed training continues its run in MLflow."""
        resumed = _continue_run(self.earlier) if self.earlier else {}
        with start_run(experiment, name, tags=dict(tags) | resumed, params=params) as run:
            self._run = run
            yield run

    def fit(self, run: Run) -> Path:
        """Train and report to ``run``; returns the path of the weights.

        Writes ``network.safetensors`` and what `write_outcome` says to ``out``, in the leading
        process only. With a validation the weights are those of its best.

        Raises:
            CheckpointError: if the weights to begin with are of another structure.
            DivergedError: if the loss stops being finite; the samples of the step are kept.
            SystemExit: with status `RESUME` after SIGTERM, the checkpoint written.
            KeyboardInterrupt: after Ctrl-C, likewise.
        """
        weights = self.out / "network.safetensors"
        torch.manual_seed(self.params.seed)
        model = network.DGUNet(self.config)
        if self.start is not None:
            self._begin_with(model, self.start)
        self._describe(run, model)
        self._say_what_changed()
        with world(pick_device(self.hyper.device)) as processes:
            result = self._train(model, run, processes)
            if not processes.leads:
                return weights
        selection = Selection.of(
            self.knobs.validation, result, self._judge[1] if self._judge else ""
        )
        network.save_network(model, weights, self._provenance() | selection.facts())
        checkpoint = files.sha256_file(weights)
        run.log_metrics({"loss_first": result.first_loss, "loss_last": result.last_loss})
        run.set_tags({CHECKPOINT_TAG: checkpoint} | selection.facts())
        for path in write_outcome(result, selection, self._samples().ids, self.out):
            run.log_artifact(path)
        run.log_network(weights, name=self.key)
        run.set_result(checkpoint=checkpoint)
        self.checkpoints.clear()
        return weights

    def _samples(self) -> TrainingBatches:
        knobs = self.knobs
        return TrainingBatches(
            self.pairs,
            patch=knobs.patch,
            batch=knobs.batch,
            seed=self.params.seed,
            augment=augmentation(knobs.augment, self.config.task),
            records=self._records,
            crops=knobs.crops,
        )

    def _train(self, model: network.DGUNet, run: Run, processes: World) -> TrainingResult:
        knobs = self.knobs
        samples = self._samples()
        batches: Batches = samples
        if knobs.mixup_after is not None:
            batches = MixUp(samples, after=knobs.mixup_after, seed=self.params.seed)
        validation, shown = None, []
        if self._judge is not None and knobs.validation is not None:
            judge = self._judge[0]
            validation = Validation(judge, knobs.validation.interval)
            shown = [judge[number] for number in range(min(PICTURES, len(judge)))]
        elif processes.leads:
            shown = list(zip(*samples.part(0, range(min(PICTURES, knobs.batch))), strict=True))
        try:
            with counting(self.key, "step") as tell:
                watch = Watch(
                    run,
                    tell,
                    name=self.key,
                    batch=knobs.batch,
                    network=model,
                    pictures=shown,
                    ids=samples.ids,
                )
                return train(
                    model,
                    batches,
                    self.hyper,
                    observe=watch.step,
                    validation=validation,
                    on_validation=watch.validation,
                    checkpoints=self.checkpoints,
                    earlier=self.earlier,
                    world=processes,
                )
        except DivergedError as error:
            kept = self.checkpoints.folder / "diverged.json"
            if processes.leads:
                files.write_json(kept, {"step": error.step, "samples": samples.ids(error.step)})
                run.log_artifact(kept)
            raise DivergedError(
                error.message, f"{error.hint} The samples of the step: {kept}.", error.step
            ) from error
        except InterruptedTrainingError as stop:
            if processes.leads:
                _say(f"{self.key}: {stop}; the same command goes on from {self.checkpoints.folder}")
            if stop.number == signal.SIGINT:
                raise KeyboardInterrupt from stop
            raise Terminated(RESUME) from stop

    def _describe(self, run: Run, model: network.DGUNet) -> None:
        manifest = self.pairs.manifest
        run.log_params(flat({"train": self.knobs.model_dump(), "seed": self.params.seed}))
        run.log_params(
            flat({"network": self.config.to_dict()}) | numeric_params(self.config, model)
        )
        run.set_tags(
            {
                DATA_TAG: manifest.digest,
                "train.data.digest": manifest.digest,
                "recipe": recipe_name(self.knobs, self.config),
            }
        )
        run.log_dataset(
            f"{manifest.dataset} ({manifest.profile})",
            manifest.digest,
            source_uri=self.store.as_posix(),
            context="training",
        )

    def _say_what_changed(self) -> None:
        if self.earlier is None:
            return
        _say(f"{self.key}: going on from step {self.earlier['step']}")
        for name, now in self._facts.items():
            if (was := self.earlier["facts"].get(name)) != now:
                _say(
                    f"{self.key}: {name} was {was} and is {now}; from here on the numbers may "
                    "differ in their last digits from a run without the interruption"
                )

    def _begin_with(self, model: network.DGUNet, start: Path) -> None:
        """Whole pictures or blocks is a choice of the operator's use, not of the weights."""
        begun, _ = network.load_network(start)
        found, wanted = ({**n.config.to_dict(), "proximal_domain": ""} for n in (begun, model))
        if differ := [name for name in wanted if found[name] != wanted[name]]:
            told = ", ".join(f"{name} {found[name]!r}, not {wanted[name]!r}" for name in differ)
            raise CheckpointError(
                f"{start} has another structure: {told}.", "Begin with weights of this network."
            )
        model.load_state_dict(begun.state_dict())

    def _provenance(self) -> dict[str, str]:
        told = {
            "profile": self.params.profile,
            "key": self.key,
            "train.data_digest": self.pairs.manifest.digest,
            "train.dataset": self.pairs.manifest.dataset,
            "train.config": files.sha256_json(asdict(self.hyper) | self.knobs.model_dump()),
        }
        return told | ({"train.start": files.sha256_file(self.start)} if self.start else {})


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots."""
    joined: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        joined |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return joined


def _continue_run(earlier: Snapshot) -> dict[str, str]:
    """Let the next run be the interrupted one in MLflow; gives tags that say where it went on.

    Only where MLflow has that run: what a killed process left in its journal is delivered first.
    Otherwise, with a store that is away, a new run is made and its tags name the old one.
    """
    layout = TrackingFolders.at()
    facts = earlier["facts"]
    if os.environ.get("DGUNET_TRACKING") not in ("later", "off"):
        deliver(layout)
    known = {info.journal: info.run_id for info in [*pending(layout), *delivered(layout)]}
    run_id = known.get(facts["journal"]) or facts["run_id"]
    if run_id:
        os.environ.setdefault("MLFLOW_RUN_ID", run_id)
    return {"resumed.step": str(earlier["step"]), "resumed.journal": facts["journal"]}


def _say(line: str) -> None:
    print(f"dgunet: {line}", file=sys.stderr)
