"""Progress on a terminal and in a log: a bar with the time left, or a line every half minute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

_PARTS = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


@contextmanager
def progress_bar(name: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how many of how many units are done, such as bytes of a download."""
    with _bar(name, unit=unit, unit_scale=True) as bar:

        def observe(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield observe


class PartsBar:
    """A bar over equal pieces of work, which moves within a piece too.

    Lines of output must be printed by `say`, which keeps them apart from the bar.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._begun = 0

    def begin(self, name: str) -> None:
        """Show that the next piece, ``name``, is worked on."""
        self._begun += 1
        self._bar.set_description(f"{name} ({self._begun} of {self._bar.total})", refresh=False)
        self.done(0.0)

    def done(self, part: float) -> None:
        """Show that ``part`` of the piece, from 0 to 1, is done."""
        self._bar.update(self._begun - 1 + part - self._bar.n)

    def say(self, line: str, *, err: bool = False) -> None:
        """Print a line to standard output, or to standard error."""
        if sys.stderr.isatty():
            self._bar.write(line, file=sys.stderr if err else sys.stdout)
        else:  # tqdm would write the bar again after each line
            typer.echo(line, err=err)


@contextmanager
def parts_bar(count: int) -> Iterator[PartsBar]:
    """Show a bar over ``count`` pieces of work."""
    with _bar("", total=count, bar_format=_PARTS) as bar:
        yield PartsBar(bar)


def _bar(name: str, **options: Any) -> Any:
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else 30
    return tqdm(desc=name, mininterval=pause, delay=0.5 if pause < 1 else pause, **options)
