"""Create docs/images/restored.png: what tiny networks restore after minutes on the sample images.

`make reproduce` trains for seconds, which no picture shows. This script trains its networks with
`STEPS`, about an hour on one CPU core, and restores larger crops of the sample's test photographs,
which no training has seen. docs/images/restored.json holds the settings, the PSNR of the crops and
the digests of the weights. Networks that exist in the folder are not trained again.

Usage: python docs/make_figure.py [--networks FOLDER]
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import patches
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dgunet.config import load_params
from dgunet.data.sample.degrade import (
    RainLayer,
    add_rain,
    add_sensor_noise,
    camera_path,
    motion_blur,
)
from dgunet.data.sample.photographs import photographs
from dgunet.evaluation.restoration import in_blocks, restore_image, to_tensor
from dgunet.imaging.colour import opencv_luma
from dgunet.imaging.psnr import psnr
from dgunet.network import load_network
from dgunet.project import ProjectFolders
from dgunet.steps.train import train_network
from dgunet.system.files import sha256_file, write_json

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "restored.png"
RECORD = PICTURE.with_suffix(".json")
STEPS = {"iterations": 1500, "batch": 4, "patch": 48, "learning_rate": 2e-3, "warmup": 50}
SENSING = {"batch": 16, "patch": 32, "learning_rate": 1e-3}
BLOCKS = 32
MARK = {"edgecolor": "gold", "linewidth": 1.5}


@dataclass(frozen=True)
class Task:
    """A part of the figure; ``corner`` and ``zoom`` are (row, column) of crop and detail."""

    name: str
    title: str
    store: str
    photograph: str
    corner: tuple[int, int]
    zoom: tuple[int, int]
    ratio: int | None = None


TASKS = (
    Task("derain", "Deraining", "Rain13K", "astronaut", (0, 40), (20, 60)),
    Task("deblur", "Deblurring", "GoPro-train", "astronaut", (0, 40), (20, 60)),
    Task("denoise", "Denoising", "SIDD-train", "chelsea", (0, 20), (50, 60)),
    Task("cs", "Compressive sensing, 25 %", "BSD400", "camera", (20, 60), (30, 50), 25),
)
SIDE, DETAIL = 144, 36


def clean_crop(task: Task) -> np.ndarray:
    """The true crop, uint8; grey for compressive sensing."""
    (photograph,) = photographs(task.photograph)
    row, column = task.corner
    crop = photograph.pixels()[row : row + SIDE, column : column + SIDE]
    rgb = np.rint(crop * 255).astype(np.uint8)
    return opencv_luma(rgb) if task.ratio else rgb


def degrade(task: Task, clean: np.ndarray) -> np.ndarray:
    """The degraded crop; within the ranges of the sample's training set."""
    rng, x = np.random.default_rng(2022), clean / 255.0
    if task.name == "derain":
        y = add_rain(x, [RainLayer(12, 15.0, 0.018, 0.8)], rng)
    elif task.name == "deblur":
        y = motion_blur(x, camera_path(6.0, 25.0, 1.0, 9), gamma=1.0)
    else:
        y = add_sensor_noise(x, 0.010, 0.0005, rng)
    return np.rint(y * 255).astype(np.uint8)


def restore(task: Task, weights: Path) -> list[np.ndarray]:
    """Degraded, restored and true, float in [0, 1]; Phi^T y is the degraded one of sensing."""
    network, _ = load_network(weights)
    network.eval()
    clean = clean_crop(task)
    if task.ratio:
        operator, true = network.operator, np.asarray(clean / 255, np.float32)
        given = in_blocks(lambda y: operator.adjoint(operator(y)), to_tensor(true), BLOCKS)
        degraded = given[0].permute(1, 2, 0).detach().numpy()
        restored = restore_image(network, true, blocks=BLOCKS)
    else:
        degraded = degrade(task, clean)
        restored, degraded, true = restore_image(network, degraded), degraded / 255, clean / 255
    return [np.clip(np.asarray(image, np.float64), 0, 1) for image in (degraded, restored, true)]


def draw(lines: dict[Task, list[np.ndarray]]) -> None:
    """Write the figure: two tasks side by side, three images each, with the same detail in all."""
    figure = Figure(figsize=(14, 5.9), dpi=110, layout="constrained")
    parts = figure.subfigures(2, 2, wspace=0.03, hspace=0.03).ravel()
    for part, (task, images) in zip(parts, lines.items(), strict=True):
        part.suptitle(task.title, fontsize=12, fontweight="bold")
        true = np.rint(images[2] * 255)
        given = "$\\Phi^T y$" if task.ratio else "degraded"
        names = (given, "DGUNet", "true")
        for axis, name, image in zip(part.subplots(1, 3), names, images, strict=True):
            score = "" if name == "true" else f", {psnr(np.rint(image * 255), true, 255):.2f} dB"
            axis.set_title(f"{name}{score}", fontsize=10)
            row, column = task.zoom
            corner = (column - 0.5, row - 0.5)
            axis.add_patch(patches.Rectangle(corner, DETAIL, DETAIL, fill=False, **MARK))
            detail = axis.inset_axes((0.5, 0.0, 0.5, 0.5))
            for spine in detail.spines.values():
                spine.set(**MARK)
            show(axis, image)
            show(detail, image[row : row + DETAIL, column : column + DETAIL])
    caption = (
        f"Small networks after {STEPS['iterations']:,} training steps on one CPU core with the"
        " sample images only: not the paper's networks."
    )
    figure.text(0.5, -0.02, caption, ha="center", fontsize=10)
    figure.savefig(PICTURE, bbox_inches="tight")


def show(axis: Axes, image: np.ndarray) -> None:
    """Show every pixel as it is."""
    axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[])


def train(task: Task, folder: Path) -> Path:
    """Train the network of one task to ``folder``; an existing one is taken as it is."""
    weights = folder / f"{task.name}{task.ratio or ''}" / "network.safetensors"
    if weights.is_file():
        return weights
    params, here = load_params(ROOT / "params.yaml"), ProjectFolders(ROOT)
    settings = getattr(params.sample.train, task.name)
    changed = settings.model_copy(update=STEPS | (SENSING if task.ratio else {}))
    trainings = params.sample.train.model_copy(update={task.name: changed})
    sample = params.sample.model_copy(update={"train": trainings})
    return train_network(
        params.model_copy(update={"sample": sample}),
        task.name,
        ratio=task.ratio,
        store=here.store(task.store),
        out=weights.parent,
    )


def main() -> None:
    """Train what is missing, restore, draw, and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=Path, default=ROOT / "build" / "figure")
    folder = parser.parse_args().networks
    lines, record = {}, {}
    for task in TASKS:
        begun = time.monotonic()
        weights = train(task, folder)
        print(f"{task.title}: {weights}, {time.monotonic() - begun:.0f} s")
        lines[task] = restore(task, weights)
        true = np.rint(lines[task][2] * 255)
        scores = [psnr(np.rint(i * 255), true, 255) for i in lines[task][:2]]
        training = json.loads((weights.parent / "training.json").read_text(encoding="utf-8"))
        record[task.title] = {
            "psnr_degraded": scores[0],
            "psnr_restored": scores[1],
            "weights_sha256": sha256_file(weights),
            "training": training,
        }
    write_json(RECORD, {"command": "python docs/make_figure.py", "settings": STEPS, **record})
    draw(lines)


if __name__ == "__main__":
    main()
