"""Whole-image tensors in memory, or in unlinked files while the memory is needed for others.

Files are read and written, not mapped: mapped pages would count as memory of the process.
"""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from dgunet.system.errors import EvaluationError

Shape = tuple[int, int, int, int]

LAYOUT = torch.channels_last
"""In memory and in files the channels of a pixel are next to each other, and so are rows."""


class Shelf:
    """Keeps the images of one restoration; those used longest ago move to files first.

    Args:
        budget: bytes for the kept images and for the work on one strip.
        folder: place of the files; None for the folder of temporary files.
        dry: whether to count only and to keep nothing.

    Attributes:
        in_memory: bytes of the images that are in memory now.
        on_disk: bytes of the images that are in files now.
        most_on_disk: peak of ``on_disk``.
    """

    def __init__(self, budget: int, folder: Path | None = None, *, dry: bool = False) -> None:
        self.budget = budget
        self.folder = folder
        self.dry = dry
        self.in_memory = self.on_disk = self.most_on_disk = 0
        self._work = 0
        self._kept: dict[int, weakref.ref[KeptImage]] = {}

    def reserve(self, work: int) -> None:
        """Leave ``work`` bytes free, until the next call, for the work on one strip."""
        self._work = work
        self._make_room(0)

    def new(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> KeptImage:
        """Return a place for an image of ``shape`` (1, C, H, W), whose rows are then written."""
        image = KeptImage(self, shape, dtype, device)
        self._make_room(image.bytes)
        self._kept[id(image)] = weakref.ref(image)
        image.place(in_file=self._left() < image.bytes)
        return image

    def given(self, pixels: Tensor) -> KeptImage:
        """Return an image that exists without the shelf: it is not counted and not moved."""
        b, c, h, w = pixels.shape
        image = KeptImage(self, (b, c, h, w), pixels.dtype, pixels.device)
        image.hold(pixels)
        return image

    def used(self, image: KeptImage) -> None:
        """Note that ``image`` was used just now."""
        if (known := self._kept.pop(id(image), None)) is not None:
            self._kept[id(image)] = known

    def count(self, size: int, *, in_file: bool) -> None:
        """Count ``size`` more bytes, or fewer, in files or in memory."""
        if in_file:
            self.on_disk += size
            self.most_on_disk = max(self.most_on_disk, self.on_disk)
        else:
            self.in_memory += size

    def forget(self, image: KeptImage) -> None:
        """Forget an image that nothing refers to any more."""
        self._kept.pop(id(image), None)

    def _left(self) -> int:
        return self.budget - self._work - self.in_memory

    def _make_room(self, size: int) -> None:
        for reference in list(self._kept.values()):
            if self._left() >= size:
                return
            if (image := reference()) is not None and not image.in_file:
                image.move_to_file()


class KeptImage:
    """A whole image (1, C, H, W) that is written and read by rows."""

    def __init__(
        self, shelf: Shelf, shape: Shape, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device
        self.bytes = shape[1] * shape[2] * shape[3] * dtype.itemsize
        self.in_file: bool | None = None
        self.filled = (0, shape[2])
        """The rows that were written; all, unless other processes have the others."""
        self._shelf = shelf
        self._tensor: Tensor | None = None
        self._file: IO[bytes] | None = None

    def place(self, *, in_file: bool) -> None:
        """Take the memory, or a file that has no name and ends with this process."""
        self._shelf.count(self.bytes, in_file=in_file)
        self.in_file = in_file
        if self._shelf.dry:
            return
        if in_file:
            folder = self._shelf.folder
            self._file = tempfile.TemporaryFile(  # noqa: SIM115  # closed with the image
                dir=folder, buffering=0, prefix="dgunet-strips-"
            )
        else:
            self._tensor = torch.empty(
                self.shape, dtype=self.dtype, device=self.device, memory_format=LAYOUT
            )

    def hold(self, pixels: Tensor) -> None:
        """Take ``pixels`` as they are."""
        self._tensor = pixels

    def move_to_file(self) -> None:
        """Free the memory."""
        tensor, self._tensor = self._tensor, None
        self._shelf.count(-self.bytes, in_file=False)
        self.place(in_file=True)
        if tensor is not None:
            self._write(0, tensor)

    def read(self, top: int, bottom: int) -> Tensor:
        """Return the rows ``top`` to ``bottom`` (exclusive); a view where it is in memory."""
        assert self.filled[0] <= top <= bottom <= self.filled[1], "rows were never written"
        self._shelf.used(self)
        if self._tensor is not None:
            return self._tensor[:, :, top:bottom].contiguous(memory_format=LAYOUT)
        shape = (1, self.shape[1], bottom - top, self.shape[3])
        rows = torch.empty(shape, dtype=self.dtype, memory_format=LAYOUT)
        self._transfer(os.preadv, rows, top)
        return rows.to(self.device)

    def write(self, top: int, rows: Tensor) -> None:
        """Write ``rows`` (1, C, rows, W) from row ``top`` on."""
        self._shelf.used(self)
        if self._tensor is not None:
            self._tensor[:, :, top : top + rows.shape[2]] = rows
        else:
            self._write(top, rows)

    def _write(self, top: int, rows: Tensor) -> None:
        try:
            self._transfer(os.pwritev, rows.cpu().contiguous(memory_format=LAYOUT), top)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise EvaluationError(
                f"the folder {self._shelf.folder or tempfile.gettempdir()} for the parts of a large"
                f" image is full ({self._shelf.on_disk / 1e9:.1f} GB are wanted in it).",
                "Give a folder with more space (--scratch), or more --memory.",
            ) from error

    def _transfer(self, call: Callable[..., int], rows: Tensor, top: int) -> None:
        """Read or write ``rows`` on the CPU in `LAYOUT`."""
        assert self._file is not None
        offset = top * self.shape[1] * self.shape[3] * self.dtype.itemsize
        pixels = rows.permute(0, 2, 3, 1).flatten()
        left = memoryview(pixels.view(torch.uint8).numpy().data)
        while left:
            done = call(self._file.fileno(), [left], offset)
            if not done:
                raise OSError(errno.EIO, "a file of image parts is shorter than written")
            left, offset = left[done:], offset + done

    def __del__(self) -> None:
        if self.in_file is None:
            return
        self._shelf.count(-self.bytes, in_file=self.in_file)
        self._shelf.forget(self)
        if self._file is not None:
            self._file.close()
