"""Checkpoints of an unfinished run: whole, verified, of this run and no other."""

from __future__ import annotations

import io
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from dgunet.system import files, leftovers
from dgunet.system.errors import CheckpointError
from dgunet.system.reading import read_bytes, shorten
from dgunet.training.checkpoint_mirror import Copies, bring_newest
from dgunet.training.checkpoint_uploads import Uploads

Snapshot = dict[str, Any]
"""Tensors and plain values by name; ``step`` is the first step that is not made yet."""

MAGIC = b"dgunet-training-1 "
"""First line of a file: this and the SHA-256 of the rest, which ``torch.save`` wrote."""


CHECKPOINT_BYTES = 64 << 30
"""A checkpoint is at most this large: three times the weights of the largest network allowed."""


def _say(line: str) -> None:
    print(f"dgunet: {line}", file=sys.stderr)


class Checkpoints:
    """The checkpoints of one run in a folder of their own, the last ``keep`` of them.

    Args:
        folder: made when the first is written.
        identity: what the run is, as texts by name: its settings and its data. A checkpoint of
            another identity is refused.
        seconds: between two checkpoints; 0 writes one at every step.
        facts: asked at every writing for more to keep, such as the tracking run's id.
        keep: how many stay.
        copies: where they are copied to, beside the training and beside the writing. A copy that
            cannot be made, or takes too long, is told and does not stop the run.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str],
        *,
        seconds: float,
        facts: Callable[[], Mapping[str, str]] = dict,
        keep: int = 3,
        copies: Copies | None = None,
    ) -> None:
        self.folder = folder
        self.identity = dict(identity)
        self.facts = facts
        self._seconds = seconds
        self._keep = keep
        self._copies = copies
        self._uploads = Uploads(copies, keep, _say) if copies is not None else None
        self._saved = time.monotonic()
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def due(self) -> bool:
        """Whether the last one is old enough for another."""
        return time.monotonic() - self._saved >= self._seconds

    def save(self, snapshot: Snapshot) -> None:
        """Copy ``snapshot`` now and write it in the background.

        Raises:
            DgunetError: if this or the previous one could not be written (a full disk).
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
        """Return when what ``save`` took is on the disk.

        Raises:
            DgunetError: if it could not be written.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def leave(self) -> None:
        """`wait`, and give the copy of the last one some seconds: the process is about to end.

        Raises:
            DgunetError: if the checkpoint could not be written.
        """
        self.wait()
        if self._uploads is not None:
            self._uploads.finish()

    def newest(self) -> Snapshot | None:
        """The newest whole checkpoint; damaged ones are named and passed over. None: no run here.

        With copies, the newest of them counts if it is newer than what lies here.

        Raises:
            CheckpointError: if it belongs to other settings or other data, naming each difference;
                or if the copies cannot be asked.
        """
        leftovers.remove_dead(self.folder)
        if self._copies is not None:
            bring_newest(self._copies, self.folder, read, _say)
        paths = self._paths()
        for place, path in reversed(list(enumerate(paths))):
            try:
                snapshot = read(path)
            except CheckpointError as error:
                then = "Using the one before." if place else "None is left: starting from step 0."
                _say(f"{error} {then}")
                continue
            self._refuse_other(path, snapshot["identity"])
            return snapshot
        return None

    def _refuse_other(self, path: Path, found: dict[str, str]) -> None:
        names = sorted(found.keys() | self.identity.keys())
        changes = [
            f"{name} was {found.get(name, 'not there')}, is {self.identity.get(name, 'not there')}"
            for name in names
            if found.get(name) != self.identity.get(name)
        ]
        if changes:
            raise CheckpointError(
                f"{path} belongs to another run: {'; '.join(changes)}.",
                f"Restore these to go on with it, or remove {self.folder} to start afresh.",
            )

    def clear(self) -> None:
        """Remove all of them: the run is finished."""
        self.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._uploads is not None:
            self._uploads.clear()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.ckpt"))


def read(path: Path) -> Snapshot:
    """The checkpoint at ``path``, its tensors on the CPU.

    Raises:
        CheckpointError: if it is not whole: its content does not have the hash it names.
    """
    try:
        content = read_bytes(path, limit=CHECKPOINT_BYTES, kind=CheckpointError)
        first, _, payload = content.partition(b"\n")
        if first != MAGIC + files.sha256_bytes(payload).encode():
            raise CheckpointError(f"{path} is damaged: its content does not have its SHA-256.")
        snapshot = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # a pickle may fail in any of its instructions
        raise CheckpointError(f"{path} cannot be read ({shorten(str(error))}).") from error
    kinds = {"step": int, "identity": dict, "facts": dict}
    if not isinstance(snapshot, dict) or any(
        not isinstance(snapshot.get(name), kind) for name, kind in kinds.items()
    ):
        raise CheckpointError(f"{path} is no checkpoint of a training.")
    return snapshot
