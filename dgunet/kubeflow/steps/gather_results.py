"""The results of several evaluations in one folder, as the tables read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from dgunet.evaluation.results import SUMMARY, TABLE, find_results, read_result
from dgunet.system import files
from dgunet.system.errors import DataError

NEEDED = (SUMMARY, TABLE)


def gather(results: Iterable[Path], out: Path) -> list[str]:
    """Copy numbers, not images, of every evaluation under ``results`` into a folder each.

    Returns:
        The folders' names: ``<set>-<row>``, with ``-r<ratio>`` for compressive sensing.

    Raises:
        DataError: if two results are of the same set, row and ratio.
        EvaluationError: if a result is not what it says; see `read_result`.
    """
    with files.atomic_folder(out) as work:
        for folder in sorted(place for root in results for place in find_results(root)):
            told = read_result(folder)
            ratio = "" if told.ratio is None else f"-r{told.ratio}"
            place = work / f"{told.dataset}-{told.row}{ratio}"
            if place.exists():
                raise DataError(
                    f"{place.name} is there twice (again in {folder}).",
                    "Ask for every network and every set once.",
                )
            place.mkdir()
            for name in NEEDED:
                shutil.copyfile(folder / name, place / name)
        return sorted(path.name for path in work.iterdir())
