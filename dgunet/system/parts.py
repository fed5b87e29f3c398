"""Parts of a list, such as images or files of a store, that separate processes or pods work on.

>>> [list(Part(number, 3).of(7)) for number in (1, 2, 3)]
[[0, 1], [2, 3], [4, 5, 6]]
>>> str(Part.parse("2/4"))
'part 2 of 4'
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten

MOST = 10_000
"""Largest number of parts."""


def what_is_left(done: int, total: int, verb: str) -> str:
    """Say what the parts of a whole have left to do.

    >>> what_is_left(1, 4, "scored")
    '3 of 4 are not scored yet'
    >>> what_is_left(4, 4, "scored")
    'all are scored: run the same command without --part'
    """
    if done < total:
        return f"{total - done:,} of {total:,} are not {verb} yet"
    return f"all are {verb}: run the same command without --part"


@dataclass(frozen=True)
class Part:
    """A contiguous range of a list, one of ``count`` whose lengths differ by one at most.

    Attributes:
        number: from 1 to ``count``.
        count: number of parts.

    Raises:
        ConfigError: for a number outside of that.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count <= MOST:
            raise ConfigError(
                f"part {self.number} of {self.count} does not exist.",
                f"Give a part such as 2/4; the first is 1, and there are at most {MOST:,}.",
            )

    def of(self, length: int) -> range:
        """Return the indexes of this part in a list of ``length``; none if that is too short."""
        begin, end = ((self.number - back) * length // self.count for back in (1, 0))
        return range(begin, end)

    def __str__(self) -> str:
        return f"part {self.number} of {self.count}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """Return the part that ``2/4`` names.

        Raises:
            ConfigError: for another form, or a part that does not exist.
        """
        if not re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", text):
            raise ConfigError(f"part {shorten(text)}.", "Write it as 2/4: the second of four.")
        number, count = map(int, text.split("/"))
        return cls(number, count)
