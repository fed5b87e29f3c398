"""How much an archive or an image of strangers may ask for, and the variables that allow more.

The largest real sets stay far below: Rain13K has 27,424 files, RealBlur about 500 folders, none
takes 50 GB, and the largest photographs (SIDD) have 16 million pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dgunet.system import environment
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten


@dataclass(frozen=True)
class Limit:
    """One bound: the environment variable that replaces it, and its usual value."""

    variable: environment.EnvironmentVariable[str]

    @property
    def usual(self) -> int:
        """The bound without the variable."""
        return int(self.variable.default)

    @property
    def value(self) -> int:
        """The bound that holds now.

        Raises:
            ConfigError: if the variable is no whole number from 1 to 10^15.
        """
        if not self.is_raised:
            return self.usual
        text = self.variable.get()
        if not re.fullmatch(r"[1-9][0-9]{0,14}", text):
            raise ConfigError(
                f"the environment variable {self.variable.name} is {shorten(text)}.",
                f"Give a whole number from 1 to 10^15; the usual one is {self.usual}.",
            )
        return int(text)

    @property
    def is_raised(self) -> bool:
        """Whether the variable is set."""
        return self.variable.is_given()

    @property
    def hint(self) -> str:
        """How to allow more."""
        name = self.variable.name
        return f"If you trust it, allow more with the environment variable {name}=NUMBER."


ENTRIES = Limit(environment.MAX_ENTRIES)
"""Files and folders in an archive."""

FOLDERS = Limit(environment.MAX_FOLDERS)
"""Folders in an archive, and folders that are searched for a set."""

UNPACKED_GB = Limit(environment.MAX_UNPACKED_GB)
"""What an archive may become, in gigabytes (10^9 bytes)."""

UNPACKED_RATIO = 100
"""Without the variable, an archive may also become at most so many times its own size, or 1 GB."""

PIXELS = Limit(environment.MAX_PIXELS)
"""Pixels of one image; Pillow's own limit."""

NESTED = 32
"""Folders within folders in an archive; sets are searched for much less deep."""


def unpacked_limit(archive_bytes: int) -> int:
    """Bytes that an archive of that size may become."""
    most = UNPACKED_GB.value * 10**9
    return most if UNPACKED_GB.is_raised else min(most, max(10**9, UNPACKED_RATIO * archive_bytes))
