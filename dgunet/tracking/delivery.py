"""Replays journals to MLflow: in order, nothing lost, nothing doubled.

Each event goes out once and the cursor moves after MLflow has it. An answer that got lost is the
one doubtful case, and every kind of event is safe to send again: metrics carry the time they
were measured, parameters and tags overwrite themselves, files have fixed names, and runs and
models are searched by the journal's id before a second one would be made.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field

from filelock import FileLock, Timeout

from dgunet.tracking import store
from dgunet.tracking.home import Layout
from dgunet.tracking.journal import journals_in
from dgunet.tracking.sender import Sender, is_wrong


@dataclass
class Delivery:
    """What came of one attempt to deliver."""

    sent: list[str] = field(default_factory=list)
    """Names of the runs that MLflow now has completely."""
    refused: list[str] = field(default_factory=list)
    """Names of those of which MLflow took some entries as wrong."""
    reason: str | None = None
    """Why delivery stopped before everything was sent."""


def deliver(
    layout: Layout, *, only: str | None = None, wait: float = 30, persist: bool = False
) -> Delivery:
    """Send what the journals under ``layout`` hold; never raises for a store that is away.

    Args:
        layout: the project.
        only: the id of the one journal to send as far as it is written; default: all of them,
            oldest first, and those of dead processes are ended as KILLED.
        wait: seconds to wait for another process that is delivering.
        persist: try even a store that is being left alone because it did not answer.
    """
    done = Delivery()
    back_off = store.BackOff(layout)
    if not journals_in(layout.journals):
        return done
    if not persist and (reason := back_off.reason()):
        done.reason = reason
        return done
    try:
        with FileLock(layout.delivery_lock, timeout=wait), store.quiet_mlflow():
            _deliver_all(layout, only, done)
            back_off.clear()
            layout.last_delivery.touch()
    except Timeout:
        done.reason = "another process is delivering"
    except Exception as error:  # whatever MLflow or the network throws: the journal is kept
        done.reason = str(error) if isinstance(error, store.Away) else store.one_line(error)
        with contextlib.suppress(OSError):
            back_off.start(done.reason)
    return done


def follow(layout: Layout, stop: threading.Event, *, every: float = 2) -> Delivery:
    """Deliver what other processes leave, until told to stop, then once more.

    The stages of a chain can then leave MLflow to this one process: its client takes seconds to
    start, more than a short stage itself. Also ends when the process that started this one does.

    Args:
        layout: the project.
        stop: ends it when set.
        every: seconds between two looks.

    Returns:
        Everything that was sent; ``reason`` is that of the last delivery.
    """
    parent, told = os.getppid(), Delivery()
    ended = False
    while not ended:
        ended = stop.wait(every) or os.getppid() != parent
        done = deliver(layout, persist=ended)
        told.sent += done.sent
        told.refused += done.refused
        told.reason = done.reason
    return told


def _deliver_all(layout: Layout, only: str | None, done: Delivery) -> None:
    store.ask(layout.uri)
    client = store.client(store.ensure_store(layout))
    for reader in journals_in(layout.journals):
        if only is None:
            reader.close_if_dead()
        elif reader.id != only:
            continue
        sender = Sender(client, layout, reader)
        try:
            whole = sender.send()
        except Exception as error:
            known = isinstance(error, store.TrackingError)
            if not (known or is_wrong(error)):
                raise
            why = str(error) if known else store.one_line(error)
            done.reason = f"run {reader.header['name']!r}: {why}"
            continue  # this run cannot go, others can
        if whole:
            name = reader.header["name"]
            (done.refused if sender.cursor.refused else done.sent).append(name)


def since_last(layout: Layout) -> float:
    """Seconds since any process of this project delivered something."""
    try:
        return time.time() - layout.last_delivery.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
