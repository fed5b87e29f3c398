"""End of worker processes whose parent was killed.

SIGKILL ends only one process. Without this module, the workers of a killed launcher would continue,
write results and report them to MLflow as finished, while the same command runs a second time.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from dgunet.system import environment

POLL_SECONDS = 0.25

STATUS = 137
"""Exit status of a worker whose parent has ended, the same as after SIGKILL."""

_watched: set[int] = set()


def end_with_parent(parent: int | None = None) -> None:
    """End this process immediately when its parent has ended.

    Nothing is flushed or delivered. The files are as after a kill, and the next run resumes from
    them. A thread checks the parent's process ID every `POLL_SECONDS`.

    Args:
        parent: process ID of the parent; by default the current parent. Every launcher runs Python,
            so if the current parent has ID 1 and does not run Python, the launcher has ended.
    """
    if parent is None:
        parent = os.getppid()
        if parent == 1 and not _is_python(parent):
            _end()
    if parent in _watched:
        return
    _watched.add(parent)
    if os.getppid() != parent:
        _end()
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent").start()


def end_with_named_parent() -> None:
    """Call `end_with_parent` for the process named by ``DGUNET_PARENT``, and unset the variable."""
    named = environment.PARENT.take()
    if named.isdecimal():
        end_with_parent(int(named))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    _end()


def _is_python(number: int) -> bool:
    """Return whether the process runs Python; True if that cannot be determined."""
    try:
        return "python" in Path(psutil.Process(number).exe()).name.lower()
    except (psutil.Error, OSError):
        return True


def _end() -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write("dgunet: the parent process is gone; ending this process\n")
        sys.stderr.flush()
    os._exit(STATUS)
