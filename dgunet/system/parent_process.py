"""Ending with the parent: a worker whose launcher was killed must not work on alone.

SIGKILL reaches one process only. The workers it had started would go on, write results and tell
MLflow that they finished, while the same command runs a second time.
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

LOOK_SECONDS = 0.25

STATUS = 137
"""Exit status of a worker whose parent is gone: as if it had been killed itself."""

_watched: set[int] = set()


def end_with_parent(parent: int | None = None) -> None:
    """End this process at once, without a last word to anybody, when its parent is gone.

    Nothing is flushed or delivered: what is on the disk is what a kill would leave, and the next
    run goes on from there. Looks at the parent's number four times a second, in a thread.

    Args:
        parent: the number of the process that started this one. Without it the present parent is
            taken; process 1 counts as gone already unless it runs Python, as every launcher does.
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
    """Call `end_with_parent` for the process of ``DGUNET_PARENT``; children do not inherit it."""
    named = environment.PARENT.take()
    if named.isdecimal():
        end_with_parent(int(named))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    _end()


def _is_python(number: int) -> bool:
    """Whether the process runs Python; True where that cannot be seen."""
    try:
        return "python" in Path(psutil.Process(number).exe()).name.lower()
    except (psutil.Error, OSError):
        return True


def _end() -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write("dgunet: the process that started this one is gone: it ends too\n")
        sys.stderr.flush()
    os._exit(STATUS)
