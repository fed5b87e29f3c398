"""What Linux tells of the CPU."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def processor_entry(name: str) -> str:
    """Return the entry ``name`` of the first CPU, such as ``model name``; empty if there is none.

    Only Linux has entries, and their names depend on the architecture.
    """
    with suppress(OSError):
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
