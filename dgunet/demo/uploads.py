"""Restoration of one uploaded image within a memory budget."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dgunet.demo.networks import LoadedNetwork, provenance
from dgunet.evaluation.restoration import Observe
from dgunet.user_images.decoded import UserImage, narrowed
from dgunet.user_images.restoring import output_paths, read_image, restore_file

PREVIEW = 1600
"""Longest side of the pictures that the page compares, in pixels."""


@dataclass(frozen=True)
class Wish:
    """What the page asks for.

    Attributes:
        weights: the weights file.
        budget: bytes that this process may take; an image that needs more is restored in strips.
    """

    weights: Path
    budget: int


@dataclass(frozen=True)
class Answer:
    """What the page shows.

    Attributes:
        before, after: PNG files of equal size, at most `PREVIEW` pixels wide and high.
        restored: the restored image, the same file as `dgunet restore` writes.
        lines: what was done, in words.
    """

    before: Path
    after: Path
    restored: Path
    lines: tuple[str, ...]


class Restorer:
    """Restores uploads one after the other; the files of the last answer are in ``folder``.

    Args:
        folder: folder for the results; it is emptied before each restoration.
        device: device of the networks.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self.networks = LoadedNetwork(device)

    def restore(self, upload: Path, wish: Wish, observe: Observe) -> Answer:
        """Restore ``upload``.

        Raises:
            DgunetError: as `dgunet.user_images.restoring.restore_file`.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        restored_in, shown_in = self.folder / "restored", self.folder / "shown"
        shown_in.mkdir(parents=True)
        start = time.perf_counter()
        (target,) = output_paths({upload: Path(upload.name)}, restored_in, force=True)
        network = self.networks.of(wish.weights)
        done = restore_file(
            network,
            upload,
            target,
            channels=network.config.channels,
            budget=wish.budget,
            scratch=self.folder,
            observe=observe,
        )
        height, width = done.pixels.shape[:2]
        took = time.perf_counter() - start
        lines = [f"{upload.name} -> {target.name} ({width}x{height}, {took:.1f} s)"]
        lines += [f"note: {note}" for note in done.notes]
        before, after = shown_in / "before.png", shown_in / "after.png"
        lines += _write_preview(read_image(upload), before) + provenance(wish.weights)
        _write_preview(done, after)
        return Answer(before, after, target, tuple(lines))


def _write_preview(image: UserImage, path: Path) -> list[str]:
    """Write the colours of ``image`` as an 8-bit PNG; a line if it is smaller than the image."""
    pixels = narrowed(image.pixels) if image.pixels.dtype == np.uint16 else image.pixels
    shown = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    shown.thumbnail((PREVIEW, PREVIEW))
    shown.save(path)
    if shown.size == (pixels.shape[1], pixels.shape[0]):
        return []
    return [f"note: the pictures are compared at {shown.width}x{shown.height}"]


def in_words(part: float, seconds: float) -> str:
    """The time left when ``part`` of the work took ``seconds``."""
    if part <= 0:
        return "started"
    left = seconds * (1 - part) / part
    return f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"


def told(show: Callable[[float, str], object], stopped: Callable[[], bool]) -> Observe:
    """An observer that shows the progress and the time left, and ends the work when ``stopped``.

    Raises:
        StoppedError: from the observer.
    """
    start = time.perf_counter()

    def observe(part: float) -> None:
        if stopped():
            raise StoppedError("the demo was stopped")
        show(part, in_words(part, time.perf_counter() - start))

    return observe


class StoppedError(Exception):
    """The demo ends while an image is being restored."""
