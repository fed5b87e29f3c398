"""The results of several evaluations in one folder, as the tables read them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from dgunet import files
from dgunet.errors import DataError

NEEDED = ("summary.json", "per_image.parquet")


def gather(results: Iterable[Path], out: Path) -> list[str]:
    """Copy numbers, not pictures, of every evaluation under ``results`` into a folder each.

    Returns:
        The folders' names: ``<set>-<row>``, with ``-r<ratio>`` for compressive sensing.

    Raises:
        DataError: if two results are of the same set, row and ratio.
    """
    with files.atomic_folder(out) as work:
        for summary in sorted(path for root in results for path in root.rglob("summary.json")):
            told = json.loads(summary.read_text())
            ratio = "" if told["ratio"] is None else f"-r{told['ratio']}"
            place = work / f"{told['dataset']}-{told['row']}{ratio}"
            if place.exists():
                raise DataError(
                    f"{place.name} is there twice (again in {summary.parent}).",
                    "Ask for every network and every set once.",
                )
            place.mkdir()
            for name in NEEDED:
                shutil.copyfile(summary.parent / name, place / name)
        return sorted(path.name for path in work.iterdir())
