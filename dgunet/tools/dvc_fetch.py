"""A set straight from a DVC remote, at a revision of the repository that versions it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dgunet.data.acquisition.fetching import Fetched, check_absent
from dgunet.data.acquisition.importing import Imported
from dgunet.data.acquisition.unpacking import TAKEN
from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.system import files
from dgunet.system.address import Address
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import check_name

FOLDER = "data/paper"
"""Where the official trees lie in this project's repositories."""


def fetch_from_dvc(
    name: str,
    repo: str,
    rev: str,
    root: Path,
    *,
    folder: str = FOLDER,
    observe: Callable[[int, int | None], None] = lambda done, total: None,
) -> Fetched:
    """Bring set ``name`` as ``repo`` has it at ``rev``, without a copy of anything else.

    DVC trusts its remotes, so every file is compared with its MD5 here, and the list of them with
    the MD5 in the ``.dvc`` file of that revision. The set appears under ``root`` only when all fit.

    Args:
        name: a catalogue key.
        repo: address or path of a git repository with DVC; its default remote is read.
        rev: commit, tag or branch.
        root: the folder of the official trees to write to, e.g. ``data/paper``.
        folder: the folder of the official trees in ``repo``.
        observe: called with (files that are here, files in all).

    Raises:
        DataError: for an unknown set, a repository, revision, remote or file that cannot be read,
            a file that differs from its MD5, or a set that is there already or is not whole.
        DgunetError: if the disk is full or ``root`` may not be written.
    """
    from dvc.api import DVCFileSystem

    info = dataset(name)
    check_absent(info, root)
    with files.writing(root), files.partial_folder(root / "fetch") as work:
        try:
            remote = DVCFileSystem(repo, rev=rev)
            commit = str(remote.repo.get_rev())
            tree, place = _find(info, remote, folder)
            digests, out = _listed(remote, place)
            target = work / info.role / tree
            _get(remote, place, target, digests, observe)
        except DgunetError:
            raise
        # DVC passes on whatever git, the disk, the cloud's client and its own parts raise.
        except Exception as error:
            if files.refused(error):
                raise
            raise DataError(
                f"{name} could not be read from {Address(repo)} at {rev}:"
                f" {type(error).__name__}: {error}",
                "Check the address, the revision, the remote and its credentials"
                " (AWS_ACCESS_KEY_ID, ...).",
            ) from None  # a pipeline's log shows what it is from, the address included
        pairs = len(read_pairs(info, work))
        kept = _only_data(target)
        final = root / info.role / tree
        if final.exists():  # with another set in it
            raise DataError(f"{final} is there already.", "Choose another --root.")
        files.make_folder(final.parent)
        files.sync_tree(target)
        files.rename(target, final)
    imported = Imported(name, final, pairs, info.pairs, kept)
    source = f"{Address(repo)} at {commit}, {place}"
    return Fetched(imported, source, "", f"verified by the MD5 that {out} has there")


def sets_in_dvc(names: Sequence[str], repo: str, rev: str, *, folder: str = FOLDER) -> list[str]:
    """Those of ``names`` that ``repo`` has at ``rev``; only its listings are read.

    Raises:
        DataError: for an unknown set, or a repository or revision that cannot be read.
    """
    from dvc.api import DVCFileSystem

    infos = [dataset(name) for name in names]
    try:
        remote = DVCFileSystem(repo, rev=rev)
        return [info.name for info in infos if _places(info, remote, folder)]
    except Exception as error:  # DVC passes on whatever git, the disk or the cloud's client raise
        raise DataError(
            f"{Address(repo)} at {rev} could not be read: {type(error).__name__}: {error}",
            "Check the address, the revision, the remote and its credentials.",
        ) from None


def _places(info: DatasetInfo, remote: Any, folder: str) -> list[tuple[str, str]]:
    """The folders of a set that are there: name in the catalogue, path in the repository."""
    return [
        (tree.folder, place)
        for tree in info.trees
        for base in (f"{folder}/{info.role}", folder)
        if _is_folder(remote, place := f"{base}/{tree.folder}")
    ]


def _is_folder(remote: Any, place: str) -> bool:
    """Not ``remote.isdir``, which takes a repository that cannot be read for one without it."""
    try:
        return bool(remote.info(place)["type"] == "directory")
    except FileNotFoundError:
        return False


def _find(info: DatasetInfo, remote: Any, folder: str) -> tuple[str, str]:
    """The official folder that is there: its name in the catalogue, its path in the repository."""
    for tree, place in _places(info, remote, folder):
        return tree, place
    official = f"{folder}/{info.role}/{info.trees[0].folder}"
    raise DataError(
        f"{info.name} is not in that revision: there is no {official}.",
        "Name the folder that holds train/ and test/ with --dvc-folder.",
    )


def _listed(remote: Any, place: str) -> tuple[dict[str, str], str]:
    """MD5 by path of the files in ``place``, proved by the ``.dvc`` file that names them.

    DVC names a folder by the MD5 of its listing: the JSON of (md5, relpath), sorted by relpath.
    """
    for parent in (PurePosixPath(place), *PurePosixPath(place).parents):
        digest = str(remote.info(str(parent)).get("md5") or "")
        if digest.endswith(".dir"):
            break
    else:
        raise DataError(f"{place} is not versioned by DVC there.", "Name a folder that is.")
    known = {
        path: str(entry["md5"]) for path, entry in remote.find(str(parent), detail=True).items()
    }
    relative = {path: str(PurePosixPath(path).relative_to(parent)) for path in known}
    listing = sorted(
        ({"md5": known[path], "relpath": relative[path]} for path in known),
        key=lambda entry: entry["relpath"],
    )
    found = hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False)
    for name in relative.values():
        check_name(name, lambda why: _foreign(parent, name, why))  # noqa: B023 - called at once
    if f"{found.hexdigest()}.dir" != digest:
        raise DataError(
            f"the remote's list of {parent} is not the one that its .dvc file names ({digest}).",
            "The remote is damaged: push the data again from a good copy.",
        )
    return {p: known[p] for p in known if PurePosixPath(p).is_relative_to(place)}, f"{parent}.dvc"


def _foreign(parent: PurePosixPath, name: str, why: str) -> DataError:
    return DataError(
        f"the remote's list of {parent} names {shorten(name)}, which {why}.",
        "Do not use this repository.",
    )


def _only_data(folder: Path) -> int:
    """Remove what no set consists of; gives the number of files left, none of them executable."""
    left = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise DataError(f"{path.name} of the remote is no plain file.", "Do not use it.")
        if path.is_file() and path.suffix.lower() in TAKEN:
            path.chmod(path.stat().st_mode & ~0o111)
            left += 1
        elif path.is_file():
            path.unlink()
    return left


def _get(
    remote: Any,
    place: str,
    target: Path,
    digests: dict[str, str],
    observe: Callable[[int, int | None], None],
) -> None:
    from dvc.fs.callbacks import Callback

    target.parent.mkdir(parents=True)
    hooks = {"files": lambda size, value, **_: observe(value, size)}
    remote.get(place, str(target), recursive=True, callback=Callback(hooks=hooks))
    for path, digest in digests.items():
        copy = target / PurePosixPath(path).relative_to(place)
        with copy.open("rb") as handle:
            found = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False))
        if found.hexdigest() != digest:
            raise DataError(
                f"{path} comes from the remote with MD5 {found.hexdigest()}, and its .dvc file says"
                f" {digest}.",
                "The remote is damaged: push the data again from a good copy.",
            )
