"""Background uploads of checkpoints, so that a bucket that does not respond delays no step.

One thread uploads the newest checkpoint and skips those that a newer one has replaced. At its end
the process waits for this thread, for a limited time only.
"""

from __future__ import annotations

import atexit
import logging
import threading
from pathlib import Path

from dgunet.training.checkpoint_mirror import CheckpointMirror, MirrorError

EXIT_SECONDS = 8.0
"""Time that a run waits for the bucket at its end; SIGKILL often follows SIGTERM after 30 s."""

logger = logging.getLogger(__name__)


class BackgroundUploads:
    """Uploads checkpoints to a mirror; failures are logged.

    Args:
        mirror: the destination.
        keep: number of checkpoints that the mirror retains.
    """

    def __init__(self, mirror: CheckpointMirror, keep: int) -> None:
        self._mirror = mirror
        self._keep = keep
        self._changed = threading.Condition()
        self._next: Path | None = None
        self._emptying = False
        self._busy = False
        self._gave_up = False
        self._thread: threading.Thread | None = None

    def offer(self, path: Path) -> None:
        """Schedule the upload of ``path`` after the one in progress; return immediately."""
        self._wake(path, emptying=False)

    def finish(self, seconds: float = EXIT_SECONDS) -> bool:
        """Wait until no upload is pending; return False if that takes longer than ``seconds``.

        In that case the mirror may lack the last checkpoint, which is logged once. This method is
        also called when the process ends.
        """
        if self._gave_up or self._idle(seconds):
            return not self._gave_up
        self._gave_up = True
        logger.warning(
            "%s has not accepted the last checkpoint within %g s; "
            "it may be missing there, but the copy on the local disk is complete",
            self._mirror.address,
            seconds,
        )
        return False

    def clear(self, seconds: float = EXIT_SECONDS) -> None:
        """Remove all mirrored checkpoints; log a warning if that takes longer than ``seconds``."""
        self._wake(None, emptying=True)
        if not self._idle(seconds):
            self._gave_up = True
            logger.warning("%s could not be emptied within %g s", self._mirror.address, seconds)

    def _wake(self, path: Path | None, *, emptying: bool) -> None:
        with self._changed:
            self._next, self._emptying = path, emptying
            if self._thread is None:
                # No executor, because the process would wait for its threads before it ends.
                self._thread = threading.Thread(target=self._work, daemon=True, name="uploads")
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
                self._request(path, emptying)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _request(self, path: Path | None, emptying: bool) -> None:
        address = self._mirror.address
        try:
            if emptying:
                self._mirror.clear()
            elif path is not None:
                self._mirror.put(path, self._keep)
        except (MirrorError, OSError) as error:
            if path is None:
                logger.warning("%s could not be emptied: %s", address, error)
            else:
                logger.warning("%s was not copied to %s: %s", path.name, address, error)
