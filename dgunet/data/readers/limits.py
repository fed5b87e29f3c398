"""Resource limits for untrusted archives and images, and the variables that raise them.

The largest real datasets are far below them: Rain13K has 27,424 files, RealBlur about 500 folders,
no dataset takes 50 GB, and the largest photographs (SIDD) have 16 million pixels.
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
    """

    variable: environment.EnvironmentVariable[str]

    @property
    def usual(self) -> int:
        """Default value of the limit."""
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
            f"If you trust the source, raise the limit: set {self.variable.name}=NUMBER in the"
            " environment."
        )


ENTRIES = Limit(environment.MAX_ENTRIES)
"""Maximum number of files and folders in an archive."""

FOLDERS = Limit(environment.MAX_FOLDERS)
"""Maximum number of folders in an archive, and of folders that are searched for a dataset."""

UNPACKED_GB = Limit(environment.MAX_UNPACKED_GB)
"""Maximum unpacked size of an archive in gigabytes (10^9 bytes)."""

UNPACKED_RATIO = 100
"""Maximum ratio of unpacked to packed size above 1 GB, unless `UNPACKED_GB` is set."""

PIXELS = Limit(environment.MAX_PIXELS)
"""Maximum number of pixels of one image; the default is Pillow's own limit."""

NESTED = 32
"""Maximum depth of folders in an archive; the search for a dataset stops much earlier."""


def unpacked_limit(archive_bytes: int) -> int:
    """Maximum unpacked size in bytes of an archive of that size."""
    most = UNPACKED_GB.value * 10**9
    return most if UNPACKED_GB.is_raised else min(most, max(10**9, UNPACKED_RATIO * archive_bytes))
