"""Kill a piece of work with SIGKILL at its n-th operation on files or on MLflow.

The work runs in a forked child, so that the parent's imports need not be repeated. A point is
counted before each operation that changes a file below a folder or opens it for writing, and before
and after each flush to the disk and each watched call. A kill between two points leaves the same
files as a kill at the later one.

>>> # killed_at(work, 7, below=folder) is True while the work has a seventh point
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

OPERATIONS = {
    "open": 1,
    "os.rename": 2,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.mkdir": 1,
    "os.truncate": 1,
    "os.link": 2,
    "os.symlink": 2,
    "shutil.rmtree": 1,
    "shutil.move": 2,
}
"""Audit events, and how many of their first arguments are paths; ``os.replace`` is a rename."""


def killed_at(
    work: Callable[[], object],
    point: int,
    *,
    below: Path,
    watched: Iterable[tuple[Any, str]] = (),
) -> bool:
    """Run ``work`` in a child that kills itself at the ``point``-th point, counted from 1.

    Args:
        work: what to run; it must not rely on threads of this process.
        point: where to kill; a large number never kills.
        below: only operations on files below this folder count; opening for reading does not.
        watched: (object, name of a method): points lie before and after its calls.

    Returns:
        True if it was killed; False if the work ended before.

    Raises:
        AssertionError: if the work failed by itself.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        code = 1
        try:
            KillPoints(below, point).install(watched)
            work()
            code = 0
        except BaseException:
            os.write(sender, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(code)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        failure = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, failure or f"status {status}"
    return False


def points_of(
    work: Callable[[], object], *, below: Path, watched: Iterable[tuple[Any, str]] = ()
) -> int:
    """Count the points of ``work`` by running it to its end in a child."""
    receiver, sender = os.pipe()

    def counted() -> None:
        points = KillPoints(below)
        points.install(watched)
        work()
        os.write(sender, str(points.count).encode())

    assert not killed_at(counted, sys.maxsize, below=below)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        return int(pipe.read())


class KillPoints:
    """Counts the points of this process, and kills it at one of them.

    Args:
        below: only operations on files below this folder count.
        kill_at: the point at which to kill, counted from 1; 0 never kills.
    """

    def __init__(self, below: Path, kill_at: int = 0) -> None:
        self.below, self.kill_at, self.count = os.path.realpath(below), kill_at, 0

    def install(self, watched: Iterable[tuple[Any, str]] = ()) -> None:
        """Count from now on until this process ends."""
        for owner, name in ((os, "fsync"), *watched):
            setattr(owner, name, self._counted(getattr(owner, name)))
        sys.addaudithook(self._audit)

    def _pass(self) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._pass()
            result = call(*arguments, **named)
            self._pass()
            return result

        return counted

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        paths = OPERATIONS.get(event)
        if not paths or (event == "open" and not _writes(arguments)):
            return
        handles = [one for one in arguments[paths:] if isinstance(one, int)][-paths:]
        for place, path in enumerate(arguments[:paths]):
            if isinstance(path, str | bytes | os.PathLike):
                handle = handles[place] if event != "open" and place < len(handles) else -1
                name = _absolute(os.fsdecode(path), handle)
                if name == self.below or name.startswith(f"{self.below}{os.sep}"):
                    self._pass()
                    return


def _absolute(name: str, folder: int) -> str:
    """Return the absolute path of ``name``, relative to the open folder ``folder`` unless -1."""
    here = os.readlink(f"/proc/self/fd/{folder}") if folder >= 0 else os.getcwd()  # noqa: PTH115, PTH109
    return os.path.normpath(os.path.join(here, name))  # noqa: PTH118


def _writes(arguments: tuple[Any, ...]) -> bool:
    """Whether an ``open`` is for writing: by its mode, or by its flags where it has no mode."""
    _, mode, flags = arguments
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
