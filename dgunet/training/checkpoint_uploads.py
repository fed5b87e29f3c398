"""Copies made beside the training: a bucket that hangs holds up nothing.

A thread of its own makes the copies, the newest checkpoint first: one that a newer one overtakes is
left out. Whoever ends the process waits for it for a limited time only.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from pathlib import Path

from dgunet.training.checkpoint_mirror import Copies, CopyError

LEAVE_SECONDS = 8.0
"""How long the end of a run waits for the bucket: SIGKILL often comes 30 s after SIGTERM."""


class Uploads:
    """Copies the checkpoints that it is given to ``copies``.

    Args:
        copies: where to.
        keep: how many of them stay there.
        say: told a line for a copy that could not be made.
    """

    def __init__(self, copies: Copies, keep: int, say: Callable[[str], None]) -> None:
        self._copies = copies
        self._keep = keep
        self._say = say
        self._changed = threading.Condition()
        self._next: Path | None = None
        self._emptying = False
        self._busy = False
        self._gave_up = False
        self._thread: threading.Thread | None = None

    def offer(self, path: Path) -> None:
        """Copy ``path`` as soon as the one before is done; returns at once."""
        self._wake(path, emptying=False)

    def finish(self, seconds: float = LEAVE_SECONDS) -> bool:
        """Wait until what was offered is there, or could not be copied; False if it takes longer.

        Then the copy may be missing, which is told once. Also called at the end of the process.
        """
        if self._gave_up or self._idle(seconds):
            return not self._gave_up
        self._gave_up = True
        self._say(
            f"{self._copies.place} has not taken the last checkpoint within {seconds:g} s; "
            "it may be missing there, the one on this disk is whole"
        )
        return False

    def clear(self, seconds: float = LEAVE_SECONDS) -> None:
        """Remove all copies, as far as that is done in time; what stays is told."""
        self._wake(None, emptying=True)
        if not self._idle(seconds):
            self._gave_up = True
            self._say(f"{self._copies.place} could not be emptied within {seconds:g} s")

    def _wake(self, path: Path | None, *, emptying: bool) -> None:
        with self._changed:
            self._next, self._emptying = path, emptying
            if self._thread is None:
                # Not of an executor: the end of the process would wait for its threads.
                self._thread = threading.Thread(target=self._work, daemon=True, name="copies")
                self._thread.start()
                atexit.register(self.finish)
            self._changed.notify_all()

    def _idle(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._busy or self._next or self._emptying), seconds
            )

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next or self._emptying)
                path, self._next = self._next, None
                emptying, self._emptying = self._emptying, False
                self._busy = True
            try:
                self._do(path, emptying)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _do(self, path: Path | None, emptying: bool) -> None:
        try:
            if emptying:
                self._copies.clear()
            elif path is not None:
                self._copies.put(path, self._keep)
        except (CopyError, OSError) as error:
            place = self._copies.place
            if path is None:
                self._say(f"{place} could not be emptied: {error}")
            else:
                self._say(f"{path.name} was not copied to {place}: {error}")
