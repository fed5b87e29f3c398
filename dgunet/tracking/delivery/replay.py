"""Delivery of all waiting journals to MLflow: in order, nothing lost, nothing duplicated.

The cursor of a journal advances after MLflow has accepted an event. Every kind of event can be sent
again after a lost answer, a kill or a lost cursor: metrics have the time of their measurement,
parameters and tags are set to the same values, files have fixed names, and runs and models are
looked up by the id of the journal before they are created. Damaged journals are moved aside and
reported. A run that cannot be sent does not delay the others. `journal_sender` sends a single
journal.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from filelock import FileLock, Timeout

from dgunet.system.errors import DgunetError
from dgunet.tracking.delivery.answers import check_is_mlflow, is_refusal
from dgunet.tracking.delivery.journal_sender import JournalSender
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.journal.damage import Damaged, DamagedJournal, set_aside
from dgunet.tracking.journal.reading import JournalReader, remove_leftovers, scan_journals
from dgunet.tracking.server import mlflow_store

MOST_UNKNOWN_ERRORS = 3
"""After this many runs that fail for an unknown reason, the store is assumed to be the cause."""


@dataclass
class Delivery:
    """The outcome of one delivery."""

    sent: list[str] = field(default_factory=list)
    """Names of the runs that are fully delivered."""
    refused: list[str] = field(default_factory=list)
    """Names of delivered runs with entries that MLflow rejected."""
    stopped: str | None = None
    """Why the delivery stopped early; None if it did not."""
    held: list[str] = field(default_factory=list)
    """Runs that wait for the next delivery, each with the reason."""
    aside: list[str] = field(default_factory=list)
    """Journals that were set aside, each with the reason."""
    notes: list[str] = field(default_factory=list)
    """Further messages about runs that were sent."""

    @property
    def reason(self) -> str | None:
        """Why not everything was sent; None if it was."""
        reasons = [*self.held, *self.aside, *([self.stopped] if self.stopped else [])]
        return "; ".join(reasons) or None

    @property
    def waits(self) -> str | None:
        """Why some runs must wait for the next delivery; None if none must."""
        reasons = [*self.held, *([self.stopped] if self.stopped else [])]
        return "; ".join(reasons) or None


def deliver(
    folders: TrackingFolders, *, only: str | None = None, wait: float = 30, persist: bool = False
) -> Delivery:
    """Send the journals of a project to MLflow; failures are part of the result, never raised.

    Args:
        folders: of the project.
        only: id of the only journal to send, up to its current end. Default: all journals, oldest
            first; those of dead processes are ended as KILLED and damaged ones are set aside.
        wait: maximum seconds to wait for another process that is delivering.
        persist: contact the store even during a pause after a failure; see `BackOff`.
    """
    done = Delivery()
    try:
        if only is None:
            remove_leftovers(folders.journals)
        if not _any(folders):
            return done
        back_off = mlflow_store.BackOff(folders)
        if not persist and (reason := back_off.reason()):
            done.stopped = reason
            return done
        with FileLock(folders.delivery_lock, timeout=wait), mlflow_store.quiet_mlflow():
            if _deliver_all(folders, only, done):
                back_off.clear()
            folders.last_delivery.touch()
    except Timeout:
        done.stopped = "another process is delivering"
    except Exception as error:  # any error of MLflow or the network: the journal is kept
        done.stopped = mlflow_store.short_reason(error)
        with contextlib.suppress(Exception):  # the pause only saves time
            mlflow_store.BackOff(folders).start(done.stopped)
    return done


def follow(folders: TrackingFolders, stop: threading.Event, *, every: float = 5) -> Delivery:
    """Deliver the journals of other processes until ``stop`` is set, then once more.

    One such process serves all steps of a pipeline, because MLflow's client takes seconds to start,
    longer than a short step. Delivery also ends when the parent of this process ends.

    Args:
        folders: of the project.
        stop: ends the delivery when set.
        every: seconds between two deliveries.

    Returns:
        Everything that was sent or set aside, and what the last delivery left waiting.
    """
    parent, total = os.getppid(), Delivery()
    ended = False
    while not ended:
        ended = stop.wait(every) or os.getppid() != parent
        done = deliver(folders, persist=ended)
        total.sent += done.sent
        total.refused += done.refused
        total.aside += done.aside
        total.notes += done.notes
        total.held, total.stopped = done.held, done.stopped
    return total


def _any(folders: TrackingFolders) -> bool:
    try:
        return any(not path.name.startswith(".") for path in folders.journals.iterdir())
    except FileNotFoundError:
        return False


def _deliver_all(folders: TrackingFolders, only: str | None, done: Delivery) -> bool:
    """Set damaged journals aside and send the others; False if there was nothing to send."""
    found = scan_journals(folders.journals, only=only)
    for one in found.damaged:
        _put_aside(folders, one, done, move=only is None)
    if not found.whole:
        return False
    mlflow_store.ask(folders.uri)
    client = mlflow_store.client(mlflow_store.ensure_store(folders))
    check_is_mlflow(client, folders.uri)
    unknown_errors = 0
    for reader in found.whole:
        try:
            _deliver_one(client, folders, reader, done, close=only is None)
        except (mlflow_store.StoreUnavailable, Damaged) as error:
            if isinstance(error, mlflow_store.StoreUnavailable):
                raise
            _put_aside(folders, DamagedJournal(reader.folder, _name(reader), str(error), ""), done)
        except Exception as error:  # the other runs can still be sent
            if not (isinstance(error, DgunetError) or is_refusal(error)):
                unknown_errors += 1
                if unknown_errors == MOST_UNKNOWN_ERRORS or not _is_available(client, folders):
                    raise
            done.held.append(f"run {_name(reader)!r}: {mlflow_store.short_reason(error)}")
    return True


def _deliver_one(
    client: Any, folders: TrackingFolders, reader: JournalReader, done: Delivery, *, close: bool
) -> None:
    name = _name(reader)
    if why := reader.broken_cursor():
        done.notes.append(
            f"run {name!r}: the progress of its delivery could not be read ({why}), so it was sent"
            " again from its beginning, to the same run"
        )
    if close:
        reader.close_if_dead()
    sender = JournalSender(client, folders, reader)
    if not sender.send():
        return
    if sender.aside:
        done.aside.append(f"run {name!r}: {'; '.join(sender.lost)} (kept in {sender.aside})")
    else:
        (done.refused if sender.cursor.refused else done.sent).append(name)


def _put_aside(
    folders: TrackingFolders, one: DamagedJournal, done: Delivery, *, move: bool = True
) -> None:
    if one.stays or not move:
        done.held.append(f"{one} ({one.stays})" if one.stays else str(one))
        return
    try:
        place = set_aside(folders, one.path, str(one))
    except (DgunetError, OSError) as error:
        done.held.append(f"{one}; moving it aside failed: {mlflow_store.short_reason(error)}")
    else:
        done.aside.append(f"{one} (moved to {place})")


def _name(reader: JournalReader) -> str:
    return str(reader.header.get("name", reader.id))


def _is_available(client: Any, folders: TrackingFolders) -> bool:
    """Whether the store is available, so that a failure concerns one run only."""
    try:
        check_is_mlflow(client, folders.uri)
    except Exception:
        return False
    return True


def since_last(folders: TrackingFolders) -> float:
    """Seconds since the last delivery of any process of this project."""
    try:
        return time.time() - folders.last_delivery.stat().st_mtime
    except OSError:
        return float("inf")
