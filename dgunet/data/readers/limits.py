"""Resource limits for untrusted archives and images, and the variables that raise them.

The largest real datasets are far below: Rain13K has 27,424 files, RealBlur about 500 folders, none
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
    """One limit.

    Attributes:
        variable: environment variable that replaces the default.
        usual: default value.
    """

    variable: environment.EnvironmentVariable[str]

    @property
    def usual(self) -> int:
        """The bound without the variable."""
        return int(self.variable.default)

    @property
    def value(self) -> int:
        """Current value of the limit.

        Raises:
            ConfigError: if the variable is not a whole number from 1 to 10^15.
        """
        if not self.is_raised:
            return self.usual
        text = self.variable.get()
        if not re.fullmatch(r"[1-9][0-9]{0,14}", text):
            raise ConfigError(
                f"the environment variable {self.variable.name} is {shorten(text)}.",
                f"Give a whole number from 1 to 10^15; the default is {self.usual}.",
            )
        return int(text)

    @property
    def is_raised(self) -> bool:
        """Whether the variable is set."""
        return self.variable.is_given()

    @property
    def hint(self) -> str:
        """How to raise the limit."""
        return (
            f"If you trust it, raise the limit: set {self.variable.name}=NUMBER in the environment."
        )


ENTRIES = Limit(environment.MAX_ENTRIES)
"""Files and folders in an archive."""

FOLDERS = Limit(environment.MAX_FOLDERS)
"""Folders in an archive, and folders that are searched for a dataset."""

UNPACKED_GB = Limit(environment.MAX_UNPACKED_GB)
"""Unpacked size of an archive in gigabytes (10^9 bytes)."""

UNPACKED_RATIO = 100
"""Unless the variable is set, maximum ratio of unpacked to packed size (beyond 1 GB)."""

PIXELS = Limit(environment.MAX_PIXELS)
"""Pixels of one image; Pillow's own limit."""

NESTED = 32
"""Depth of folders in an archive; the search for a dataset is much less deep."""


def unpacked_limit(archive_bytes: int) -> int:
    """Maximum unpacked size in bytes of an archive of that size."""
    most = UNPACKED_GB.value * 10**9
    return most if UNPACKED_GB.is_raised else min(most, max(10**9, UNPACKED_RATIO * archive_bytes))
