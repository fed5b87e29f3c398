"""Kill a piece of work with SIGKILL at its n-th operation on files or on MLflow.

The work runs in a forked child, so that what the parent imported need not be imported again. A
point is counted before each operation that changes or opens a file below a folder, at each flush to
the disk, and before and after each call that is watched: the moments between two points leave the
same behind as the later of them.

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
"""Audit events, and how many of their first arguments are paths. ``os.replace`` is a rename."""


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
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        code = 1
        try:
            _count(point, os.path.realpath(below), watched)
            work()
            code = 0
        except BaseException:
            os.write(tell, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(code)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        failure = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, failure or f"status {status}"
    return False


def points_of(
    work: Callable[[], object], *, below: Path, watched: Iterable[tuple[Any, str]] = ()
) -> int:
    """How many points ``work`` has, found by running it to its end in a child."""
    told, tell = os.pipe()

    def counted() -> None:
        work()
        os.write(tell, str(_counter[0]).encode())

    assert not killed_at(counted, sys.maxsize, below=below, watched=watched)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        return int(pipe.read())


_counter = [0]


def _count(point: int, below: str, watched: Iterable[tuple[Any, str]]) -> None:
    """Let this process kill itself at its ``point``-th point; there is no way back."""
    _counter[0] = 0
    inside = f"{below}{os.sep}"

    def pass_by() -> None:
        _counter[0] += 1
        if _counter[0] == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        paths = OPERATIONS.get(event)
        if not paths or (event == "open" and not _writes(arguments)):
            return
        handles = [one for one in arguments[paths:] if isinstance(one, int)][-paths:]
        for place, path in enumerate(arguments[:paths]):
            if isinstance(path, str | bytes | os.PathLike):
                handle = handles[place] if event != "open" and place < len(handles) else -1
                name = _absolute(os.fsdecode(path), handle)
                if name == below or name.startswith(inside):
                    pass_by()
                    return

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            pass_by()
            answer = call(*arguments, **named)
            pass_by()
            return answer

        return counted

    for owner, name in ((os, "fsync"), *watched):
        setattr(owner, name, around(getattr(owner, name)))
    sys.addaudithook(hook)


def _absolute(name: str, folder: int) -> str:
    """The path that ``name`` stands for; ``folder`` is a handle it is relative to, or -1."""
    here = os.readlink(f"/proc/self/fd/{folder}") if folder >= 0 else os.getcwd()  # noqa: PTH115, PTH109
    return os.path.normpath(os.path.join(here, name))  # noqa: PTH118


def _writes(arguments: tuple[Any, ...]) -> bool:
    """Whether an ``open`` is for writing: by its mode, or by its flags where it has no mode."""
    _, mode, flags = arguments
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
