"""A target of the fuzz tests: valid files and the function that reads them."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Target:
    """Files in ``folder`` that are damaged one at a time, and their reader."""

    folder: Path
    files: list[str]
    read: object
    allowed: tuple[type[Exception], ...] = ()
    """Documented exceptions other than `DgunetError`, which callers of the reader handle."""
    text: bool = False
    """Whether the files are JSON or JSON lines regardless of their suffix."""
