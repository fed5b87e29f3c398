"""Journals that are not as their writer left them: named, moved aside whole, never removed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dgunet.system import files
from dgunet.system.errors import DgunetError
from dgunet.tracking.home import TrackingFolders

REASON = "reason.txt"


class Damaged(DgunetError):
    """A journal is not as its writer left it; nothing of it is sent."""


class LostFile(DgunetError):
    """One file of a journal is gone or changed; the rest of the journal is whole."""


@dataclass(frozen=True)
class DamagedJournal:
    """Something in the journals' folder that is no whole journal.

    Attributes:
        path: folder, or a file that does not belong there.
        run: the run's name where it can still be read.
        why: what is wrong, in one line.
        stays: why it must stay where it is; "" if it may be moved aside.
    """

    path: Path
    run: str
    why: str
    stays: str

    def __str__(self) -> str:
        known = f"run {self.run!r}: " if self.run else ""
        return f"{known}the journal {self.path.name} is damaged: {self.why}"


def say(line: str) -> None:
    """Tell the person at the terminal something that is not the command's result."""
    print(f"dgunet: {line}", file=sys.stderr)


_named: set[Path] = set()


def warn_once(damaged: list[DamagedJournal]) -> None:
    """Name each damaged journal on the terminal, once a process."""
    for one in damaged:
        if one.path not in _named:
            _named.add(one.path)
            next_step = (
                f"it stays, because {one.stays}"
                if one.stays
                else "`dgunet tracking sync` moves it to .dgunet/damaged"
            )
            say(f"{one} ({next_step})")


def set_aside(folders: TrackingFolders, path: Path, why: str) -> Path:
    """Move a journal, or a stray file, to the damaged ones with its reason; gives its new place.

    The move is one rename: the journal is whole at the old place or at the new one.

    Raises:
        DgunetError: if the file system refuses.
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
    """Everything that was set aside, and the first line of its reason."""
    if not folders.damaged.is_dir():
        return []
    told = []
    for folder in sorted(folders.damaged.iterdir()):
        try:
            reason = (folder / REASON).read_text(encoding="utf-8", errors="replace")
        except OSError:
            reason = "it was set aside"
        told.append((folder, reason.partition("\n")[0]))
    return told


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
        f"Set aside on {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; nothing here was changed.\n"
        f"If you can repair it, move it back and send it: what MLflow has of it is not doubled.\n\n"
        f"    {origin}\n    dgunet tracking sync\n"
    )
