"""Checks of the names in an archive's index before anything is written."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from dgunet.data.readers.limits import ENTRIES, FOLDERS, NESTED, UNPACKED_GB
from dgunet.system.errors import DataError
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import check_name

_HINT = "Do not use this archive."
_BY_HAND = "Unpack it yourself and give the folder of the dataset."


class ArchiveMembers:
    """The files and folders of one archive, as named in its index."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self._entries = self._folders = 0
        self._is_folder: dict[str, bool] = {}

    def add(self, given: str, *, is_folder: bool) -> str:
        """Check one entry; return its path below the archive's root, "" for the root itself.

        Raises:
            DataError: for a path that points outside, an invalid file name, a path that is both a
                file and a folder, or more entries, folders or levels than are allowed.
        """
        self._entries += 1
        if self._entries > ENTRIES.value:
            raise self._too_many(f"more than {ENTRIES.value:,} entries", ENTRIES.hint)
        name = PurePosixPath(given).as_posix()
        if name == ".":
            return ""
        if name.startswith("/") or ".." in name.split("/"):
            raise self.outside(given)

        def refuse(why: str) -> DataError:
            return DataError(f"{self.archive} holds {shorten(given)}, which {why}.", _BY_HAND)

        check_name(name, refuse)
        if name.count("/") >= NESTED:
            raise refuse(f"is deeper than {NESTED} folders")
        self._enter(name, is_folder, given)
        return name

    def _enter(self, name: str, is_folder: bool, given: str) -> None:
        known = self._is_folder.get(name)
        if known is None:
            self._is_folder[name] = is_folder
            self._folders += is_folder
            if self._folders > FOLDERS.value:
                raise self._too_many(f"more than {FOLDERS.value:,} folders", FOLDERS.hint)
            if "/" in name:
                self._enter(name.rpartition("/")[0], True, given)
        elif known != is_folder:
            raise DataError(
                f"{self.archive} holds {shorten(name)} as a file and as a folder"
                f" ({shorten(given)}).",
                "The archive is damaged: download it again.",
            )

    def check_index(self, entries: int) -> None:
        """Refuse an index that is too long to be read.

        Args:
            entries: lower bound of the number of entries.

        Raises:
            DataError: if it exceeds the limit.
        """
        if entries > ENTRIES.value:
            raise self._too_many(f"more than {ENTRIES.value:,} entries", ENTRIES.hint)

    def outside(self, name: str) -> DataError:
        """Error for a member that points outside the folder."""
        return DataError(
            f"{self.archive} holds {shorten(name)}, which would be written outside its folder.",
            _HINT,
        )

    def special(self, name: str) -> DataError:
        """Error for a device, pipe or socket."""
        return DataError(
            f"{self.archive} holds {shorten(name)}, which is a device or a pipe and not a file.",
            _HINT,
        )

    def too_large(self, most: int) -> DataError:
        """Error for an archive that unpacks to more than ``most`` bytes."""
        own = self.archive.stat().st_size / 1e9
        return DataError(
            f"{self.archive} is {own:.3g} GB and unpacks to more than {most / 1e9:.3g} GB.",
            UNPACKED_GB.hint,
        )

    def _too_many(self, what: str, hint: str) -> DataError:
        return DataError(f"{self.archive} holds {what}.", hint)
