"""Train and evaluate, several times, the small networks of the reduced profile.

Every step is a command of `dgunet` in a process of its own, which resumes by itself when it was
stopped. A finished step is noted with the digest of what went into it and is not repeated. Results
of one seed are in one folder, so that `dgunet claims` can take the seeds as trainings.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import yaml

from dgunet.config.params import TEXT_BYTES
from dgunet.project import TRAINING_SETS, ProjectFolders, model_key
from dgunet.system import files
from dgunet.system.environment import PARENT, for_child
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import read_mapping, read_text
from dgunet.terms import ABLATION_SET, ABLATIONS, VARIANTS, Task
from dgunet.tracking.run_end import terminable

SETS: dict[Task, tuple[str, ...]] = {"derain": ("Rain100L", "Rain100H"), "cs": ("Set11", "BSD68")}
"""The test sets of each task."""

RATIOS = (4, 10)
"""The ratios of compressive sensing that claims compare DGUNet and DGUNet+ at."""

PAIRS = 40
"""The first pairs of Rain13K, which the authors of MSPFN show, are the training set."""

KEPT_MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:"
    "glibc.malloc.trim_threshold=8589934592:glibc.malloc.top_pad=268435456"
}
"""For steps on Linux: freed memory is used again and not returned to the system, which would clear
it each time. An image took 1.84 s in place of 2.30 s (2 CPU cores); no result depends on it."""

DGUNET = (sys.executable, "-m", "dgunet")
STOPPED = (130, 75)
"""Exit statuses of a step that was stopped and resumes."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: for the screen, such as "seed 1: train derain-DGUNet".
        arguments: of `dgunet`.
        inputs: files on which its result depends, besides the arguments.
        note: file that is written when it is done.
    """

    name: str
    arguments: tuple[str, ...]
    inputs: tuple[Path, ...]
    note: Path

    def key(self) -> str:
        """Digest of arguments and inputs; "" if an input is missing."""
        if not all(path.is_file() for path in self.inputs):
            return ""
        return files.sha256_json([self.arguments, [files.sha256_file(p) for p in self.inputs]])

    @property
    def done(self) -> bool:
        """Whether it was finished with the inputs of now."""
        if not self.note.is_file():
            return False
        key = self.key()
        return bool(key) and read_mapping(self.note).get("key") == key


@dataclass(frozen=True)
class ReducedRun:
    """The steps of some trainings of all networks.

    Attributes:
        here: the project; results are in ``build/reduced``.
        seeds: of the trainings.
    """

    here: ProjectFolders
    seeds: Sequence[int]

    @property
    def folder(self) -> Path:
        """Where everything is made."""
        return self.here.build / "reduced"

    def place(self, seed: int) -> ProjectFolders:
        """The folders of one seed."""
        return ProjectFolders(self.here.home, work=f"{self.here.work}/reduced/seed-{seed}")

    def preparations(self) -> list[Step]:
        """Prepare the training and test sets, once for all seeds."""
        names = [name for task in SETS for name in (TRAINING_SETS[task], *SETS[task])]
        data, params = self.folder / "data", self.folder / "params.yaml"
        return [
            self._step(f"prepare {name}", ("data", "prepare", name, "--root", str(data)), (params,))
            for name in names
        ]

    def networks(self, seed: int) -> Iterator[Step]:
        """Train and evaluate every network once; each evaluation follows its training."""
        for variant in VARIANTS:
            yield from self._network(seed, "derain", variant)
        for name in ABLATIONS:
            yield from self._ablation(seed, name)
        for ratio in RATIOS:
            for variant in VARIANTS:
                yield from self._network(seed, "cs", variant, ratio)

    def steps(self) -> list[Step]:
        """All steps, seed after seed: what is finished first is a complete set of networks."""
        return [*self.preparations(), *(s for seed in self.seeds for s in self.networks(seed))]

    def write_inputs(self, root: Path) -> None:
        """Copy the data of the run from ``root`` and write the parameter files.

        Raises:
            DataError: if a dataset is missing.
        """
        for task, tests in SETS.items():
            for name, role in ((TRAINING_SETS[task], "train"), *((name, "test") for name in tests)):
                _copy(name, role, root, self.folder / "data" / role / name)
        content = yaml.safe_load(read_text(self.here.params, limit=TEXT_BYTES))
        content |= {"profile": "reduced", "weights": "trained"}
        files.write_text(self.folder / "params.yaml", yaml.safe_dump(content))
        for seed in self.seeds:
            text = yaml.safe_dump(content | {"seed": seed})
            files.write_text(self.place(seed).build / "params.yaml", text)

    def _network(self, seed: int, task: Task, variant: str, ratio: int | None = None) -> list[Step]:
        place, key = self.place(seed), model_key(task, variant, ratio)
        given = ("--variant", variant, *(("--ratio", str(ratio)) if ratio else ()))
        weights = place.model(key) / "network.safetensors"
        evaluated = ("evaluate", "--sets", ",".join(SETS[task]), "--checkpoint", str(weights))
        return [
            self._train(seed, task, key, given),
            self._evaluate(seed, key, evaluated, place.build / "evaluation", SETS[task]),
        ]

    def _ablation(self, seed: int, name: str) -> list[Step]:
        place, key = self.place(seed), f"ablation-{name}"
        weights = place.ablation_network(name) / "network.safetensors"
        evaluated = ("evaluate", "--ablation", name, "--checkpoint", str(weights))
        return [
            self._train(seed, "derain", key, ("--ablation", name)),
            self._evaluate(seed, key, evaluated, place.ablation(name), (ABLATION_SET,)),
        ]

    def _train(self, seed: int, task: Task, key: str, given: tuple[str, ...]) -> Step:
        store, out = self._store(TRAINING_SETS[task]), self.place(seed).model(key)
        places = ("--store", str(store), "--out", str(out))
        inputs = (store / "manifest.json", self.place(seed).build / "params.yaml")
        return self._step(f"seed {seed}: train {key}", ("train", task, *given, *places), inputs)

    def _evaluate(
        self, seed: int, key: str, arguments: tuple[str, ...], out: Path, sets: tuple[str, ...]
    ) -> Step:
        place = self.place(seed)
        inputs = [self._store(name) / "manifest.json" for name in sets]
        inputs += [place.model(key) / "network.safetensors", place.build / "params.yaml"]
        places = ("--stores", str(self.folder / "prepared"), "--out", str(out))
        return self._step(f"seed {seed}: evaluate {key}", (*arguments, *places), tuple(inputs))

    def _store(self, name: str) -> Path:
        return self.folder / "prepared" / name

    def _step(self, name: str, arguments: tuple[str, ...], inputs: tuple[Path, ...]) -> Step:
        """Complete the arguments with the parameter file, the last of the inputs."""
        if arguments[0] == "data":
            arguments = (*arguments, "--out", str(self._store(arguments[2])))
        file = name.replace(": ", "-").replace(" ", "-")
        note = self.folder / "steps" / f"{file}.json"
        return Step(name, (*arguments, "--params", str(inputs[-1])), inputs, note)


def run_steps(
    steps: Sequence[Step],
    *,
    processes: int = 1,
    seconds: float | None = None,
    command: Sequence[str] = DGUNET,
    report: Report = print,
) -> bool:
    """Run the steps that are not done; return whether all are.

    Steps run in their order, ``processes`` at once; one whose inputs another step has yet to make
    waits for it. Ctrl-C, SIGTERM, or the end of ``seconds`` stop the running steps, which resume
    when the same is called again.

    Args:
        steps: as `ReducedRun.steps` gives them.
        processes: steps at once, each with one thread.
        seconds: stop after this time; None for no limit.
        command: what is called with the arguments of a step.
        report: called with a line for each beginning and end.

    Raises:
        DgunetError: naming the step that failed, with its last line.
    """
    waiting = [step for step in steps if not step.done]
    total, begun = len(steps), time.monotonic()
    running: dict[Step, subprocess.Popen[bytes]] = {}
    with terminable():
        try:
            while waiting or running:
                free = processes - len(running)
                for step in list(islice((s for s in waiting if s.key()), free)):
                    waiting.remove(step)
                    running[step] = _start(step, command)
                    report(f"[{total - len(waiting)}/{total}] {step.name}")
                if not running:
                    raise DataError(f"{waiting[0].name} has no inputs.", "Run all steps.")
                if seconds is not None and time.monotonic() - begun > seconds:
                    return False
                time.sleep(0.2)
                for step in [s for s, process in running.items() if process.poll() is not None]:
                    _finish(step, running.pop(step).returncode)
        finally:
            _stop(running, report)
    return True


def _start(step: Step, command: Sequence[str]) -> subprocess.Popen[bytes]:
    step.note.parent.mkdir(parents=True, exist_ok=True)
    with _log(step).open("wb") as log:
        return subprocess.Popen(
            [*command, *step.arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            # A setting of the user goes before `KEPT_MEMORY`.
            env=KEPT_MEMORY | for_child({"OMP_NUM_THREADS": "1", PARENT.name: str(os.getpid())}),
            start_new_session=True,  # Ctrl-C reaches the steps through `_stop` only
        )


def _finish(step: Step, status: int) -> None:
    if status:
        lines = _log(step).read_text(encoding="utf-8", errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "nothing")
        if status in STOPPED:
            raise KeyboardInterrupt
        raise DgunetError(f"{step.name} failed: {said}", f"Its output is {_log(step)}.")
    files.write_json(step.note, {"key": step.key()})


def _stop(running: dict[Step, subprocess.Popen[bytes]], report: Report) -> None:
    """Stop the running steps; each writes its checkpoint first."""
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    for step, process in running.items():
        process.wait()
        report(f"stopped: {step.name}")


def _log(step: Step) -> Path:
    return step.note.with_suffix(".log")


def _copy(name: str, role: str, root: Path, to: Path) -> None:
    """Copy a dataset, of Rain13K the first pairs only; once."""
    if to.is_dir():
        return
    source = next((p for p in (root / role / name, root / name) if p.is_dir()), None)
    if source is None:
        raise DataError(
            f"{root / role / name} does not exist.",
            f"Get it with `dgunet data fetch {name}`, or name the folder of the datasets: --root.",
        )
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f".{name}")
    shutil.rmtree(partial, ignore_errors=True)
    if name == "Rain13K":
        for side in ("input", "target"):
            (partial / side).mkdir(parents=True)
            for number in range(1, PAIRS + 1):
                shutil.copy(source / side / f"{number}.jpg", partial / side)
    else:
        shutil.copytree(source, partial)
    partial.rename(to)
