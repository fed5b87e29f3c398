"""Checkpoints of an unfinished training run: atomic, verified by hash, bound to its identity."""

from __future__ import annotations

import io
import logging
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from dgunet.system import files, leftovers
from dgunet.system.errors import CheckpointError
from dgunet.system.reading import read_bytes, shorten
from dgunet.training.checkpoint_mirror import CheckpointMirror, download_newest
from dgunet.training.checkpoint_uploads import BackgroundUploads

Snapshot = dict[str, Any]
"""Tensors and plain values by name; ``step`` is the index of the next optimiser step."""

MAGIC = b"dgunet-training-1 "
"""Start of the first line, which ends with the SHA-256 of the ``torch.save`` payload below it."""

CHECKPOINT_BYTES = 64 << 30
"""Upper bound of a checkpoint's size: three times the weights of the largest network allowed."""

LOCK_SECONDS = 120.0
"""How long a training waits for another process; a server of network files keeps the lock of a dead
machine for a while."""

logger = logging.getLogger(__name__)


class Checkpoints:
    """The last ``keep`` checkpoints of one training run, in their own folder.

    Args:
        folder: the folder; created with the first checkpoint.
        identity: settings and data of the training run, as strings by name. A checkpoint with
            another identity is rejected. May be completed before the first checkpoint.
        seconds: time between two checkpoints; 0 writes one after every step.
        facts: called for each checkpoint; returns further strings to store, such as the id of the
            MLflow run. May be replaced before the first checkpoint.
        keep: number of checkpoints retained.
        mirror: receives a copy of each checkpoint in the background. A failed or slow upload is
            logged and does not stop the training.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str],
        *,
        seconds: float,
        facts: Callable[[], Mapping[str, str]] = dict,
        keep: int = 3,
        mirror: CheckpointMirror | None = None,
    ) -> None:
        self.folder = folder
        self._lock = FileLock(folder.parent / f".{folder.name}.lock")
        self.identity = dict(identity)
        self.facts = facts
        self._seconds = seconds
        self._keep = keep
        self._mirror = mirror
        self._uploads = BackgroundUploads(mirror, keep) if mirror is not None else None
        self._saved = time.monotonic()
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def acquire(self) -> None:
        """Keep other processes from this training until `release`, or until this process ends.

        Raises:
            CheckpointError: if another process is at it for longer than `LOCK_SECONDS`.
        """
        files.make_folder(self.folder.parent)
        if self._acquired(0):
            return
        name = self.folder.name
        logger.warning(
            "another process is at the training %s; waiting up to %.0f s for it", name, LOCK_SECONDS
        )
        if not self._acquired(LOCK_SECONDS):
            raise CheckpointError(
                f"another process is at the same training, with the checkpoints {self.folder}.",
                "Wait for its end, or stop it: the same command then resumes from its checkpoint.",
            )

    def _acquired(self, seconds: float) -> bool:
        try:
            self._lock.acquire(timeout=seconds)
        except NotImplementedError:  # a file system without locks
            return True
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Let another process continue this training."""
        self._lock.release()

    def due(self) -> bool:
        """Return whether the time between two checkpoints has passed since the last one."""
        return time.monotonic() - self._saved >= self._seconds

    def save(self, snapshot: Snapshot) -> None:
        """Serialise ``snapshot`` now and write it in the background.

        Raises:
            DgunetError: if the previous checkpoint could not be written, for example on a full
                disk.
        """
        self.wait()
        buffer = io.BytesIO()
        extra = {"identity": self.identity, "facts": dict(self.facts())}
        torch.save(snapshot | extra, buffer)
        path = self.folder / f"step-{snapshot['step']:09d}.ckpt"
        self._writing = self._writer.submit(self._write, path, buffer.getvalue())
        self._saved = time.monotonic()

    def _write(self, path: Path, payload: bytes) -> None:
        header = MAGIC + files.sha256_bytes(payload).encode() + b"\n"
        files.write_bytes(path, header + payload)
        for old in self._paths()[: -self._keep]:
            old.unlink(missing_ok=True)
        if self._uploads is not None:
            self._uploads.offer(path)

    def wait(self) -> None:
        """Wait until the checkpoint of the last `save` is on disk.

        Raises:
            DgunetError: if it could not be written.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def wait_for_mirror(self) -> None:
        """Wait as `wait` does, then a limited time for the last upload, before the process ends.

        Raises:
            DgunetError: if the checkpoint could not be written.
        """
        self.wait()
        if self._uploads is not None:
            self._uploads.finish()

    def newest(self, open_entries: Collection[str] = ()) -> Snapshot | None:
        """Return the newest intact checkpoint, or None; damaged ones are logged and skipped.

        If the mirror has a newer checkpoint, it is downloaded first.

        Args:
            open_entries: names of the identity that the checkpoint may decide.

        Raises:
            CheckpointError: if it belongs to other settings or other data; the message lists each
                difference. Also if the mirror cannot be read.
        """
        leftovers.remove_dead(self.folder)
        if self._mirror is not None:
            download_newest(self._mirror, self.folder, read_checkpoint)
        paths = self._paths()
        for index, path in reversed(list(enumerate(paths))):
            try:
                snapshot = read_checkpoint(path)
            except CheckpointError as error:
                logger.warning(
                    "%s %s",
                    error,
                    "Using the previous one." if index else "None is left; starting from step 0.",
                )
                continue
            self._check_identity(path, snapshot["identity"], open_entries)
            return snapshot
        return None

    def _check_identity(
        self, path: Path, found: dict[str, str], open_entries: Collection[str]
    ) -> None:
        names = sorted((found.keys() | self.identity.keys()).difference(open_entries))
        changes = [
            f"{name} was {found.get(name, 'absent')}, is {self.identity.get(name, 'absent')}"
            for name in names
            if found.get(name) != self.identity.get(name)
        ]
        if changes:
            raise CheckpointError(
                f"{path} belongs to another training run: {'; '.join(changes)}.",
                f"Restore these settings to resume it, or remove {self.folder} to start again.",
            )

    def clear(self) -> None:
        """Remove all checkpoints of the finished training run, including those in the mirror."""
        self.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._uploads is not None:
            self._uploads.clear()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.ckpt"))


def read_checkpoint(path: Path) -> Snapshot:
    """Return the checkpoint at ``path``, with its tensors on the CPU.

    Raises:
        CheckpointError: if its content does not match its hash, or is not a training checkpoint.
    """
    try:
        content = read_bytes(path, limit=CHECKPOINT_BYTES, kind=CheckpointError)
        first, _, payload = content.partition(b"\n")
        if first != MAGIC + files.sha256_bytes(payload).encode():
            raise CheckpointError(f"{path} is damaged: its content does not match its SHA-256.")
        snapshot = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # unpickling can raise any exception
        raise CheckpointError(f"{path} cannot be read ({shorten(str(error))}).") from error
    kinds = {"step": int, "identity": dict, "facts": dict}
    if not isinstance(snapshot, dict) or any(
        not isinstance(snapshot.get(name), kind) for name, kind in kinds.items()
    ):
        raise CheckpointError(f"{path} is not a training checkpoint.")
    return snapshot
