"""A digest of the code, which tells whether a result was made by the code that is installed."""

from __future__ import annotations

from pathlib import Path

from dgunet.system import files

SOURCES = (".py", ".json", ".csv", ".yaml", ".j2")


def code_version() -> str:
    """A digest of the installed package's files: 16 hexadecimal digits.

    It is equal for a clone and an image built from it, independent of line endings, and differs
    after any change, committed or not.
    """
    package = Path(__file__).parents[1]
    lines = [
        f"{files.sha256_source(path)}  {path.relative_to(package).as_posix()}\n"
        for path in sorted(package.rglob("*"))
        if path.suffix in SOURCES
    ]
    return files.sha256_bytes("".join(lines).encode())[:16]
