"""Replays journals to MLflow: in order, nothing lost, nothing doubled.

Each event goes out once and the cursor moves after MLflow has it. Every kind of event is safe to
send again, after a lost answer, a kill or with a lost cursor: metrics carry the time they were
measured, parameters and tags overwrite themselves, files have fixed names, and runs and models are
searched by the journal's id before one would be made. What is damaged is moved aside and named; one
run that cannot go holds up no other.
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

PUZZLES = 3
"""After so many runs that fail for an unknown reason, the fault is not theirs."""


@dataclass
class Delivery:
    """What came of one attempt to deliver."""

    sent: list[str] = field(default_factory=list)
    """Names of the runs that MLflow now has completely."""
    refused: list[str] = field(default_factory=list)
    """Names of those of which MLflow took some entries as wrong."""
    stopped: str | None = None
    """Why delivery stopped before everything was tried."""
    held: list[str] = field(default_factory=list)
    """Runs that wait for another time, each with the reason."""
    aside: list[str] = field(default_factory=list)
    """Journals that were set aside now, each with the reason."""
    notes: list[str] = field(default_factory=list)
    """What else a person should know; everything of it was sent."""

    @property
    def reason(self) -> str | None:
        """Why not everything was sent; None if it was."""
        told = [*self.held, *self.aside, *([self.stopped] if self.stopped else [])]
        return "; ".join(told) or None

    @property
    def waits(self) -> str | None:
        """Why some runs must wait for another delivery; None if none must."""
        told = [*self.held, *([self.stopped] if self.stopped else [])]
        return "; ".join(told) or None


def deliver(
    folders: TrackingFolders, *, only: str | None = None, wait: float = 30, persist: bool = False
) -> Delivery:
    """Send what the journals under ``folders`` hold; never raises for what it finds.

    Args:
        folders: the project.
        only: the id of the one journal to send as far as it is written; default: all of them,
            oldest first, those of dead processes are ended as KILLED, and damaged ones are set
            aside.
        wait: seconds to wait for another process that is delivering.
        persist: try even a store that is being left alone because it did not answer.
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
    except Exception as error:  # whatever MLflow or the network throws: the journal is kept
        done.stopped = _told(error)
        with contextlib.suppress(Exception):  # the note only saves time
            mlflow_store.BackOff(folders).start(done.stopped)
    return done


def follow(folders: TrackingFolders, stop: threading.Event, *, every: float = 2) -> Delivery:
    """Deliver what other processes leave, until told to stop, then once more.

    The stages of a chain can then leave MLflow to this one process: its client takes seconds to
    start, more than a short stage itself. Also ends when the process that started this one does.

    Args:
        folders: the project.
        stop: ends it when set.
        every: seconds between two looks.

    Returns:
        Everything that was sent or set aside; what had to wait is that of the last delivery.
    """
    parent, told = os.getppid(), Delivery()
    ended = False
    while not ended:
        ended = stop.wait(every) or os.getppid() != parent
        done = deliver(folders, persist=ended)
        told.sent += done.sent
        told.refused += done.refused
        told.aside += done.aside
        told.notes += done.notes
        told.held, told.stopped = done.held, done.stopped
    return told


def _any(folders: TrackingFolders) -> bool:
    try:
        return any(not path.name.startswith(".") for path in folders.journals.iterdir())
    except FileNotFoundError:
        return False


def _deliver_all(folders: TrackingFolders, only: str | None, done: Delivery) -> bool:
    """Set aside what is damaged, then send the rest; whether the store was asked."""
    found = scan_journals(folders.journals, only=only)
    for one in found.damaged:
        _put_aside(folders, one, done, move=only is None)
    if not found.whole:
        return False
    mlflow_store.ask(folders.uri)
    client = mlflow_store.client(mlflow_store.ensure_store(folders))
    check_is_mlflow(client, folders.uri)
    puzzles = 0
    for reader in found.whole:
        try:
            _deliver_one(client, folders, reader, done, close=only is None)
        except (mlflow_store.StoreUnavailable, Damaged) as error:
            if isinstance(error, mlflow_store.StoreUnavailable):
                raise
            _put_aside(folders, DamagedJournal(reader.folder, _name(reader), str(error), ""), done)
        except Exception as error:  # this run cannot go, others can
            if not (isinstance(error, DgunetError) or is_refusal(error)):
                puzzles += 1
                if puzzles == PUZZLES or not _speaks(client, folders):
                    raise
            done.held.append(f"run {_name(reader)!r}: {_told(error)}")
    return True


def _deliver_one(
    client: Any, folders: TrackingFolders, reader: JournalReader, done: Delivery, *, close: bool
) -> None:
    name = _name(reader)
    if why := reader.broken_cursor():
        done.notes.append(
            f"run {name!r}: how far it was sent could not be read ({why}), so it was sent again"
            " from its beginning, into the same run"
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
        done.held.append(f"{one}; it could not be moved aside: {_told(error)}")
    else:
        done.aside.append(f"{one} (moved to {place})")


def _name(reader: JournalReader) -> str:
    return str(reader.header.get("name", reader.id))


def _speaks(client: Any, folders: TrackingFolders) -> bool:
    """Whether the store answers at all, so that a failure was the one run's."""
    try:
        check_is_mlflow(client, folders.uri)
    except Exception:
        return False
    return True


def _told(error: Exception) -> str:
    """The error in one line."""
    if isinstance(error, (mlflow_store.StoreUnavailable, DgunetError)):
        return " ".join(str(error).split())
    return mlflow_store.one_line(error)


def since_last(folders: TrackingFolders) -> float:
    """Seconds since any process of this project delivered something."""
    try:
        return time.time() - folders.last_delivery.stat().st_mtime
    except OSError:
        return float("inf")
