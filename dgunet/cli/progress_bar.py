"""Progress of a download, on a terminal and in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(name: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal; elsewhere a line every half minute."""
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else 30
    with tqdm(desc=name, unit=unit, unit_scale=True, mininterval=pause, delay=0.5) as bar:

        def observe(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield observe
