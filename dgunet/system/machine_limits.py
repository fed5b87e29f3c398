"""Processors and memory that this process may use: of a container, not of the machine around it.

`os.cpu_count` and `psutil.virtual_memory` describe the machine. A container is slowed down or
killed at its own limits, however large the machine is. Both versions of control groups are read,
and limits of parent groups count.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

GROUPS = Path("/proc/self/cgroup")
"""Where Linux names the control groups of this process."""

MOUNT = Path("/sys/fs/cgroup")
"""Where the limits of control groups are mounted."""


def processors(groups: Path = GROUPS, mount: Path = MOUNT) -> int:
    """Number of processors that this process may use, at least 1.

    The least of the machine's number, the affinity mask (``taskset``, cpusets) and the quotas of
    the control groups. A quota of 2.5 processors counts as 3.
    """
    quotas = (math.ceil(quota) for quota in container_processors(groups, mount))
    return max(1, min([os.cpu_count() or 1, *_affinity(), *quotas]))


def free_memory(groups: Path = GROUPS, mount: Path = MOUNT) -> int:
    """Bytes of memory that this process can still take.

    The least of what the machine has available, and of what is left within the limits of the
    control groups and of this process (``ulimit -v``, ``ulimit -d``).
    """
    available = int(psutil.virtual_memory().available)
    return min([available, *container_bytes(groups, mount), *process_bytes()])


def container_processors(groups: Path = GROUPS, mount: Path = MOUNT) -> Iterator[float]:
    """Processors by the time quotas of this process's control groups, one number per quota."""
    for folder in _folders("cpu", groups, mount):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            if quota != "max":
                yield int(quota) / int(period)
        with suppress(OSError, ValueError):
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii")
                for name in ("quota", "period")
            )
            if int(quota) > 0:
                yield int(quota) / int(period)


def container_bytes(groups: Path = GROUPS, mount: Path = MOUNT) -> Iterator[int]:
    """Bytes left within the memory limits of this process's control groups, one number per limit.

    Inactive file pages count as free, since the kernel drops them first.
    """
    for folder in _folders("memory", groups, mount):
        if (left := _left_of(folder)) is not None:
            yield left


def _affinity() -> Iterator[int]:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        yield len(os.sched_getaffinity(0))


def _folders(kind: str, groups: Path, mount: Path) -> Iterator[Path]:
    """The folders of this process's control groups of a kind, each followed by its parents."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        number, kinds, path = line.split(":", 2)
        if number == "0":
            roots = [mount]
        elif kind in kinds.split(","):
            # Controllers of version 1 may be mounted together, as "cpu,cpuacct".
            roots = [each for each in (mount / kind, mount / kinds) if each.is_dir()][:1]
        else:
            continue
        for root in roots:
            group = root / path.lstrip("/")
            # Inside a container the path may be the host's; then only the root exists.
            for folder in (group, *group.parents):
                yield folder
                if folder == root:
                    break


def _left_of(group: Path) -> int | None:
    """Bytes left within the limit of one control group; None without a limit."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = (group / limit).read_text(encoding="utf-8").strip()
            taken = int((group / used).read_text(encoding="utf-8"))
            facts = dict(
                line.split()
                for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines()
            )
        except (OSError, ValueError):
            continue
        if most != "max":
            return max(0, int(most) - taken + int(facts.get(cache, 0)))
    return None


def process_bytes() -> Iterator[int]:
    """Bytes left within the limits of this process on its address space and its data."""
    try:
        import resource
    except ImportError:  # not available on Windows
        return
    # In pages: the first number is the address space, the sixth the data.
    used: list[int] = []
    with suppress(OSError, ValueError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
        used = [int(count) * os.sysconf("SC_PAGE_SIZE") for count in (pages[0], pages[5])]
    for limit, taken in zip((resource.RLIMIT_AS, resource.RLIMIT_DATA), used, strict=False):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY:
            yield max(0, most - taken)
