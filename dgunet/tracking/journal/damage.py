"""Damaged journals: they are reported and moved aside as a whole, never removed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dgunet.system import files
from dgunet.system.errors import DgunetError
from dgunet.tracking.home import TrackingFolders

REASON = "reason.txt"


class Damaged(DgunetError):
    """A journal was changed after it was written; nothing of it is sent."""


class LostFile(DgunetError):
    """One file of a journal is missing or was changed; the rest of the journal is intact."""


@dataclass(frozen=True)
class DamagedJournal:
    """An entry of the journals' folder that is not an intact journal.

    Attributes:
        path: folder, or a file that does not belong there.
        run: name of the run; "" if it cannot be read.
        why: what is wrong, in one line.
        stays: why it must not be moved aside; "" if it may be.
    """

    path: Path
    run: str
    why: str
    stays: str

    def __str__(self) -> str:
        known = f"run {self.run!r}: " if self.run else ""
        return f"{known}the journal {self.path.name} is damaged: {self.why}"


_LOG = logging.getLogger(__name__)

_reported: set[Path] = set()


def warn_once(damaged: list[DamagedJournal]) -> None:
    """Log each damaged journal once per process."""
    for one in damaged:
        if one.path not in _reported:
            _reported.add(one.path)
            next_step = (
                f"it is not moved: {one.stays}"
                if one.stays
                else "`dgunet tracking sync` moves it to .dgunet/damaged"
            )
            _LOG.warning("%s (%s)", one, next_step)


def set_aside(folders: TrackingFolders, path: Path, why: str) -> Path:
    """Move a journal or stray file to ``.dgunet/damaged`` with the reason; return its new path.

    The move is one rename, so a kill leaves the complete journal at one of the two paths.

    Raises:
        DgunetError: if the file system reports an error.
    """
    with files.writing(path):
        target = _free(folders.damaged / path.name)
        files.make_folder(folders.damaged)
        if path.is_dir() and not path.is_symlink():
            files.write_text(path / REASON, _reason(why, path))
            files.rename(path, target)
            return target
        target.mkdir()
        files.write_text(target / REASON, _reason(why, path))
        files.rename(path, target / path.name)
        return target


def set_aside_journals(folders: TrackingFolders) -> list[tuple[Path, str]]:
    """The folders of everything that was set aside, each with the first line of its reason."""
    if not folders.damaged.is_dir():
        return []
    found = []
    for folder in sorted(folders.damaged.iterdir()):
        try:
            reason = (folder / REASON).read_text(encoding="utf-8", errors="replace")
        except OSError:
            reason = "it was set aside"
        found.append((folder, reason.partition("\n")[0]))
    return found


def _free(path: Path) -> Path:
    count = 1
    free = path
    while free.exists() or free.is_symlink():
        count += 1
        free = path.with_name(f"{path.name}.{count}")
    return free


def _reason(why: str, origin: Path) -> str:
    return (
        f"{why}\n\n"
        f"Set aside on {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; the content was not changed.\n"
        f"To send it after a repair, move it back to the path below, and run the command. Entries\n"
        f"that MLflow already has are not duplicated.\n\n"
        f"    {origin}\n    dgunet tracking sync\n"
    )
