"""The results of several evaluations in one folder, as the tables read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from dgunet.evaluation.results import SUMMARY, TABLE, find_results, read_result
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.seals import write_seal

NEEDED = (SUMMARY, TABLE)


def gather_results(results: Iterable[Path], out: Path) -> list[str]:
    """Copy summary and per-image table of every evaluation under ``results`` into a folder each.

    The folders are sealed anew, because they lack the images of the others.

    Returns:
        The folders' names: ``<set>-<row>``, with ``-r<ratio>`` for compressive sensing.

    Raises:
        DataError: if two results are of the same set, row and ratio.
        EvaluationError: if a result was changed; see `read_result`.
    """
    with files.atomic_folder(out) as work:
        for folder in sorted(found for root in results for found in find_results(root)):
            summary = read_result(folder)
            ratio = "" if summary.ratio is None else f"-r{summary.ratio}"
            target = work / f"{summary.dataset}-{summary.row}{ratio}"
            if target.exists():
                raise DataError(
                    f"there are two results {target.name}, the second in {folder}.",
                    "Request every network and every test set once.",
                )
            target.mkdir()
            for name in NEEDED:
                shutil.copyfile(folder / name, target / name)
            write_seal(target)
        return sorted(path.name for path in work.iterdir())
