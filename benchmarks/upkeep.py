"""What a training does beside its steps: validation, example images, checkpoints and records.

Each part is timed beside one optimiser step of the released network, by the code of a training: on
the sample's deraining or compressive sensing set, tracked in a journal. `shares` derives from these
parts what they take of the trainings of the paper profile, of which none was run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from benchmarks.pairs import Pair, expected, in_ways
from benchmarks.rows import Row, clock, seconds
from benchmarks.training import PASSES
from benchmarks.worker import Work
from dgunet.config import TrainingSettings, load_params
from dgunet.data.catalogue.entries import dataset
from dgunet.network.config import preset
from dgunet.network.describe import describe_network
from dgunet.project import TRAINING_SETS

STEP, VALIDATION, EXAMPLES = "step", "validation image", "example images"
CHECKPOINT, RECORD = "checkpoint", "record of a step"
PARTS = (VALIDATION, EXAMPLES, CHECKPOINT, RECORD)

CASES = {"derain": (1, 256, 256), "cs": (16, 32, 180)}
"""Samples of the step that is timed, side of its patches and of the validation image, by task."""

LIKE = {"derain": "derain", "deblur": "derain", "denoise": "derain", "cs": "cs"}
"""The case from which the shares of a task are derived."""

PARAMS = Path(__file__).parents[1] / "params.yaml"


def prepared(pairs: Sequence[Pair], folder: Path) -> list[Pair]:
    """Write the sample's training sets; name their folder in the pairs."""
    from dgunet.data.sample.generate import generate_sample
    from dgunet.data.store.prepare import prepare_dataset

    generate_sample(folder / "data")
    for task in {pair.candidate.arguments["task"] for pair in pairs}:
        name = TRAINING_SETS[task]
        prepare_dataset(name, folder / "data", folder / name, profile="sample", workers=1)

    def there(pair: Pair) -> Pair:
        sides = {
            side: dataclasses.replace(one, arguments=one.arguments | {"root": str(folder)})
            for side in ("baseline", "candidate")
            for one in [getattr(pair, side)]
        }
        return dataclasses.replace(pair, **sides)

    return [there(pair) for pair in pairs]


class _Training:
    """A training of the paper profile's settings, with its steps, run and checkpoints."""

    def __init__(self, task: str, root: Path, device: str, small: dict[str, int]) -> None:
        import torch

        from dgunet.config import RuntimeSettings
        from dgunet.network import DGUNet
        from dgunet.training import LaunchedProcess, World
        from dgunet.training.preparation import TrainingInputs, prepare_training
        from dgunet.training.step import TrainingSteps

        self.batch, patch, self.side = CASES[task]
        torch.manual_seed(0)
        config = preset(task, ratio=10 if task == "cs" else None, **small)
        self.network = DGUNet(config)
        self.channels, self.patch = config.channels, patch
        inputs = TrainingInputs(
            profile="paper",
            key=f"{task}-DGUNet",
            settings=paper_settings(task),
            runtime=RuntimeSettings(device=device, threads=torch.get_num_threads()),
            seed=0,
            network=config,
            store=root / TRAINING_SETS[task],
            out=root / "out",
            start=None,
            checkpoint_root=Path(mkdtemp(dir=root)),  # equal trainings would share a lock
            mirror=None,
            process=LaunchedProcess(),
            commit="",
        )
        self.prepared = prepare_training(inputs)
        self.steps = TrainingSteps(
            self.network, self, inputs.settings, inputs.runtime, world=World()
        )

    def part(self, step: int, positions: Sequence[int], /) -> tuple[Any, Any]:
        """Noise, the same for every step."""
        images = self.noise(self.patch)
        return images[positions], images[positions]

    def noise(self, side: int) -> Any:
        """Images (B, C, side, side)."""
        import torch

        shape = (self.batch, self.channels, side, side)
        return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def work(task: str, way: str, root: str, device: str, **small: int) -> Work:
    """One step, or one part of what is done beside; ``small`` are fields of the network."""
    training = _Training(task, Path(root), device, small)
    return Work(_RUN[way](training, Path(root)), lambda _: {})


def _validation(training: _Training, root: Path) -> Callable[[], Any]:
    from dgunet.training import World
    from dgunet.training.validation import mean_psnr

    image = training.noise(training.side)[0]
    return lambda: mean_psnr(training.network, [(image, image)], World())


def _checkpoint(training: _Training, root: Path) -> Callable[[], Any]:
    """A checkpoint, until it is on the disk; a training goes on before that."""
    from dgunet.training.training_state import generators

    training.patch = 32
    training.steps()  # so that Adam has its moments

    def run() -> None:
        training.prepared.checkpoints.save(training.steps.state.snapshot([generators()]))
        training.prepared.checkpoints.wait()

    return run


def _examples(training: _Training, root: Path) -> Callable[[], Any]:
    from dgunet.tracking.reports.example_images import ExampleImages
    from dgunet.training.job import EXAMPLE_IMAGES

    image = training.noise(training.side)[0]
    images = [(image, image)] * EXAMPLE_IMAGES
    run = _open_run(root)
    shown = ExampleImages(run, training.network, images, training.prepared.inputs.settings)
    return lambda: shown.log(0)


def _record(training: _Training, root: Path) -> Callable[[], Any]:
    from dgunet.tracking.reports.progress import counting
    from dgunet.tracking.reports.training_report import TrainingReport
    from dgunet.training import StepReport

    losses = (0.1,) * training.network.config.stages
    report = StepReport(0, training.steps.state.settings.iterations, 0.7, losses, 2e-4, 1.0, 1.0)
    progress = _STACK.enter_context(counting("benchmark", "step"))
    receiver = TrainingReport(_open_run(root), progress, training.prepared)
    return lambda: receiver.on_step(report)


_STACK = ExitStack()
"""Holds runs open until the process ends."""


def _open_run(root: Path) -> Any:
    from dgunet.tracking import start_run

    run = start_run("benchmark", "upkeep", tags={}, params={}, home=root, mode="later")
    return _STACK.enter_context(run)


_RUN: dict[str, Callable[[_Training, Path], Callable[[], Any]]] = {
    STEP: lambda training, root: training.steps,
    VALIDATION: _validation,
    EXAMPLES: _examples,
    CHECKPOINT: _checkpoint,
    RECORD: _record,
}


def pairs(device: str, *, quick: bool) -> list[Pair]:
    """The parts of deraining, and of compressive sensing unless ``quick``."""
    return [
        _pair(task, way, device) for task in list(CASES)[: 1 if quick else None] for way in PARTS
    ]


def _pair(task: str, way: str, device: str) -> Pair:
    batch, patch, _ = CASES[task]
    sides = in_ways("benchmarks.upkeep:work", {"task": task, "device": device}, STEP, way)
    flops = PASSES * _operations(task) * batch
    memory = int(5e4 * batch * patch**2) + (2 << 30)
    return Pair(_case(task), *sides, seconds=expected(flops), memory=memory)


def _case(task: str) -> str:
    batch, patch, _ = CASES[task]
    return f"{task} DGUNet, {batch} x {patch}x{patch}"


def _operations(task: str) -> int:
    """Operations of a forward pass of one patch of the task's case."""
    patch = CASES[LIKE[task]][1]
    config = preset(task, ratio=10 if task == "cs" else None)
    return describe_network(config, (patch, patch)).flops


def paper_settings(task: str) -> TrainingSettings:
    """The settings of the paper profile in params.yaml."""
    return load_params(PARAMS).paper.train[task]  # type: ignore[index]


@dataclasses.dataclass(frozen=True)
class Share:
    """Fractions of the time of the steps of one training, derived from measured parts.

    Attributes:
        task: of the paper profile.
        images: images of a validation, about.
        parts: the fraction by part.
    """

    task: str
    images: int
    parts: dict[str, float]

    @property
    def together(self) -> float:
        """The fraction of all parts."""
        return sum(self.parts.values())


def shares(rows: Sequence[Row], device: str) -> list[Share]:
    """The shares of every task whose case was measured whole."""
    measured = {
        (row["case"], row["candidate"]): seconds(row, clock(device))
        for row in rows
        if "not_run" not in row
    }
    found = []
    for task, like in LIKE.items():
        times = {part: measured.get((_case(like), part)) for part in PARTS}
        known = {part: pair for part, pair in times.items() if pair is not None}
        if len(known) == len(PARTS):
            found.append(_share(task, known))
    return found


def _share(task: str, times: dict[str, tuple[float, float]]) -> Share:
    """The shares of one task from (seconds of the step, seconds of the part).

    A wider network is slower in the step and in what restores images, but not in the others.
    """
    from dgunet.config import RuntimeSettings
    from dgunet.tracking.reports.example_images import IMAGE_REPORTS

    settings, samples = paper_settings(task), CASES[LIKE[task]][0]
    assert settings.validation is not None
    images = max(1, round(settings.validation.fraction * dataset(TRAINING_SETS[task]).pairs))
    slower = _operations(task) / _operations(LIKE[task])
    of_step = {
        part: spent / (step * settings.batch / samples) for part, (step, spent) in times.items()
    }
    step = times[CHECKPOINT][0] * slower * settings.batch / samples
    every = max(RuntimeSettings(threads=0).checkpoint_seconds, step) / step
    return Share(
        task,
        images,
        {
            VALIDATION: images * of_step[VALIDATION] / settings.validation.interval,
            EXAMPLES: (1 + IMAGE_REPORTS) * of_step[EXAMPLES] / settings.iterations,
            CHECKPOINT: of_step[CHECKPOINT] / slower / every,
            RECORD: of_step[RECORD] / slower,
        },
    )


def derived(rows: Sequence[Row], device: str) -> tuple[str, list[list[str]]] | None:
    """The text and the lines of the table of `shares`; None if nothing was measured."""
    if not (found := shares(rows, device)):
        return None
    lines = [["Training", "images of a validation", *PARTS, "together"]]
    for one in found:
        values = [f"{100 * value:.2g}" for value in (*one.parts.values(), one.together)]
        lines.append([one.task, f"{one.images:,}", *values])
    return DERIVED, lines


DERIVED = (
    "**Derived, not run**: percent of the time of the steps in the trainings of the paper profile,"
    " from the parts above and the interval, batch and held-out fraction in `params.yaml`."
    " Deblurring and denoising take the ratios of deraining. Example images are shown at most nine"
    " times. A checkpoint is due every 300 s; its time counts until it is on the disk, although the"
    " training goes on before."
)
