"""The files of a run: tables, figures, images and copies of other files."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dgunet.tracking.journal.writing import JournalWriter, now_ms

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

GRID_SIDE = 256
"""Largest side in pixels of the copy of an image that MLflow's image grid shows."""

_IN_KEYS = r"[a-zA-Z0-9_\-./ ]"


def image_key(name: str) -> str:
    """``name`` as a key for `RunFiles.log_image`, with _ for characters that MLflow rejects.

    >>> image_key("été/1")
    '_t_/1'
    """
    return "".join(each if re.fullmatch(_IN_KEYS, each) else "_" for each in name)


class RunFiles:
    """The part of `Run` that records files; each method returns when they are on the disk."""

    def __init__(self, writer: JournalWriter | None) -> None:
        self._writer = writer

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Record a copy of the file or folder at ``path`` below ``folder`` of the artifacts."""
        if self._writer:
            kept = self._writer.settle(self._writer.keep(path))
            self._append("artifact", **kept, folder=folder)

    def log_table(self, table: pd.DataFrame, name: str) -> None:
        """Record a table as ``name`` (with suffix .json), for MLflow's UI and ``load_table``.

        Raises:
            ValueError: if ``name`` does not end in ``.json``.
        """
        if not name.endswith(".json"):
            raise ValueError(f"the table's name {name!r} does not end in .json")
        if self._writer:
            path = self._writer.new_path(name)
            text = table.to_json(orient="split", index=False, date_format="iso")
            path.write_text(text, encoding="utf-8")
            self._append_file(path, name, table=True)

    def log_json(self, content: Mapping[str, Any], name: str) -> None:
        """Record a mapping as the file ``name``."""
        if self._writer:
            path = self._writer.new_path(name)
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            self._append_file(path, name)

    def log_figure(self, figure: Figure, name: str) -> None:
        """Record a Matplotlib figure as ``name``; the suffix determines the format."""
        if self._writer:
            path = self._writer.new_path(name)
            figure.savefig(path)
            self._append_file(path, name)

    def log_image(self, image: NDArray[Any], key: str, *, step: int = 0) -> None:
        """Record an image for MLflow's image grid, which shows the images of a key by step.

        Args:
            image: (H, W) or (H, W, C), uint8 or float in [0, 1].
            key: name of the image, of letters, digits and ``_ - . /`` and spaces.
            step: of the training, or another count from 0.

        Raises:
            ValueError: for another character in the key.
        """
        if not key or key != image_key(key):
            raise ValueError(f"image key {key!r}: use letters, digits, _ - . / and spaces")
        if self._writer is None:
            return
        from PIL import Image

        if image.dtype != np.uint8:
            image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        whole = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
        small = whole.copy()
        small.thumbnail((GRID_SIDE, GRID_SIDE))
        # MLflow's page reads key, step and time from the names that its `log_image` gives.
        name = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{now_ms()}+{uuid.uuid4()}"
        for shown, suffix in ((whole, ".png"), (small, "+compressed.webp")):
            path = self._writer.new_path(name + suffix)
            shown.save(path)
            self._append_file(path, name + suffix)
        self._append("tags", values={"mlflow.loggedImages": "True"})

    def _append(self, kind: str, **content: Any) -> None:
        if self._writer:
            self._writer.append(kind, **content)

    def _append_file(self, path: Path, name: str, *, table: bool = False) -> None:
        assert self._writer is not None
        folder = Path(name).parent.as_posix()
        self._append(
            "artifact",
            **self._writer.settle(path),
            folder="" if folder == "." else folder,
            table=table,
        )
