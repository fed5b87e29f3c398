"""Fetching of a dataset from a DVC remote, at a revision of its repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dgunet.data.acquisition.fetching import FetchResult, check_absent
from dgunet.data.acquisition.importing import ImportResult
from dgunet.data.acquisition.unpacking import DATASET_SUFFIXES
from dgunet.data.catalogue.entries import DatasetInfo, dataset
from dgunet.data.store.recognition import read_complete_pairs
from dgunet.system import files
from dgunet.system.address import Address
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.reading import shorten
from dgunet.system.safe_paths import check_name

FOLDER = "data/paper"
"""Folder of the official trees in this project's repositories."""


def fetch_from_dvc(
    name: str,
    repo: str,
    rev: str,
    root: Path,
    *,
    folder: str = FOLDER,
    observe: Callable[[int, int | None], None] = lambda done, total: None,
) -> FetchResult:
    """Fetch dataset ``name`` from ``repo`` at ``rev``; nothing else of the repository is copied.

    DVC does not verify what its remotes send by default. Therefore every file is compared with its
    MD5 here, and the list of files with the MD5 in the ``.dvc`` file of that revision. The dataset
    appears under ``root`` only when all of them agree.

    Args:
        name: a catalogue name.
        repo: address or path of a git repository with DVC; its default remote is read.
        rev: commit, tag or branch.
        root: the folder of the official trees to write to, e.g. ``data/paper``.
        folder: the folder of the official trees in ``repo``.
        observe: called with (files received, files in all).

    Raises:
        DataError: for an unknown dataset, a repository, revision, remote or file that cannot be
            read, a file that differs from its MD5, or a dataset that is incomplete or exists.
        DgunetError: if the disk is full or ``root`` is not writable.
    """
    from dvc.api import DVCFileSystem  # imported here, because importing DVC is slow

    info = dataset(name)
    check_absent(info, root)
    with files.writing(root), files.partial_folder(root / "fetch") as work:
        try:
            remote = DVCFileSystem(repo, rev=rev)
            commit = str(remote.repo.get_rev())
            tree, path = _find(info, remote, folder)
            digests, out = _listed(remote, path)
            target = work / info.role / tree
            _download(remote, path, target, digests, observe)
        except DgunetError:
            raise
        except Exception as error:  # of git, the disk, the cloud's client and DVC itself
            if files.refused(error):
                raise
            raise _unreadable(name, repo, rev, error) from None
        pairs = len(read_complete_pairs(info, work))
        kept = _remove_other_files(target)
        final = root / info.role / tree
        if final.exists():  # with another dataset in it
            raise DataError(f"{final} already exists.", "Choose another --root.")
        files.make_folder(final.parent)
        files.sync_tree(target)
        files.rename(target, final)
    imported = ImportResult(name, final, pairs, info.pairs, kept)
    source = f"{Address(repo)} at {commit}, {path}"
    return FetchResult(imported, source, "", f"verified by the MD5 in its {out}")


def _unreadable(name: str, repo: str, rev: str, error: Exception) -> DataError:
    """Error for a repository that cannot be read.

    The cause is not chained, because a pipeline's log would show it with the address in it.
    """
    return DataError(
        f"{name} could not be read from {Address(repo)} at {rev}: {type(error).__name__}: {error}",
        "Check the address, the revision, the remote and its credentials (AWS_ACCESS_KEY_ID, ...).",
    )


def sets_in_dvc(names: Sequence[str], repo: str, rev: str, *, folder: str = FOLDER) -> list[str]:
    """Those datasets of ``names`` that ``repo`` has at ``rev``; only its listings are read.

    Raises:
        DataError: for an unknown dataset, or a repository or revision that cannot be read.
    """
    from dvc.api import DVCFileSystem  # slow import

    infos = [dataset(name) for name in names]
    try:
        remote = DVCFileSystem(repo, rev=rev)
        return [info.name for info in infos if _folders_of(info, remote, folder)]
    except Exception as error:  # of git, the disk, the cloud's client and DVC itself
        raise DataError(
            f"{Address(repo)} at {rev} could not be read: {type(error).__name__}: {error}",
            "Check the address, the revision, the remote and its credentials.",
        ) from None


def _folders_of(info: DatasetInfo, remote: Any, folder: str) -> list[tuple[str, str]]:
    """Folders of a dataset that exist: name in the catalogue, path in the repository."""
    return [
        (tree.folder, path)
        for tree in info.trees
        for base in (f"{folder}/{info.role}", folder)
        if _is_folder(remote, path := f"{base}/{tree.folder}")
    ]


def _is_folder(remote: Any, path: str) -> bool:
    """Whether ``path`` is a folder.

    Unlike ``remote.isdir`` this raises an error for a repository that cannot be read.
    """
    try:
        return bool(remote.info(path)["type"] == "directory")
    except FileNotFoundError:
        return False


def _find(info: DatasetInfo, remote: Any, folder: str) -> tuple[str, str]:
    """The first folder of a dataset that exists: name in the catalogue, path in the repository."""
    for tree, path in _folders_of(info, remote, folder):
        return tree, path
    official = f"{folder}/{info.role}/{info.trees[0].folder}"
    raise DataError(
        f"{info.name} is not in that revision: there is no {official}.",
        "Give the folder that holds train/ and test/ with --dvc-folder.",
    )


def _listed(remote: Any, folder: str) -> tuple[dict[str, str], str]:
    """MD5 by path of the files in ``folder``, and the ``.dvc`` file that verifies them.

    DVC identifies a folder by the MD5 of its listing: JSON of (md5, relpath), sorted by relpath.
    """
    for parent in (PurePosixPath(folder), *PurePosixPath(folder).parents):
        digest = str(remote.info(str(parent)).get("md5") or "")
        if digest.endswith(".dir"):
            break
    else:
        raise DataError(
            f"{folder} is not versioned by DVC in that revision.",
            "Give a folder that has a .dvc file with --dvc-folder.",
        )
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
        check_name(name, lambda why: _unsafe_name(parent, name, why))  # noqa: B023 - called at once
    if f"{found.hexdigest()}.dir" != digest:
        raise DataError(
            f"the remote's list of {parent} does not have the MD5 in its .dvc file ({digest}).",
            "The remote is damaged: push the data again from a good copy.",
        )
    return {p: known[p] for p in known if PurePosixPath(p).is_relative_to(folder)}, f"{parent}.dvc"


def _unsafe_name(parent: PurePosixPath, name: str, why: str) -> DataError:
    return DataError(
        f"the remote's list of {parent} names {shorten(name)}, which {why}.",
        "Do not use this repository.",
    )


def _remove_other_files(folder: Path) -> int:
    """Remove files that are not of a dataset, by suffix; return the number of files kept.

    The kept files lose their executable bits.
    """
    kept = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise DataError(
                f"{path.name} of the remote is not a plain file.", "Do not use this repository."
            )
        if path.is_file() and path.suffix.lower() in DATASET_SUFFIXES:
            path.chmod(path.stat().st_mode & ~0o111)
            kept += 1
        elif path.is_file():
            path.unlink()
    return kept


def _download(
    remote: Any,
    folder: str,
    target: Path,
    digests: dict[str, str],
    observe: Callable[[int, int | None], None],
) -> None:
    from dvc.fs.callbacks import Callback  # slow import

    target.parent.mkdir(parents=True)
    hooks = {"files": lambda size, value, **_: observe(value, size)}
    remote.get(folder, str(target), recursive=True, callback=Callback(hooks=hooks))
    for path, digest in digests.items():
        copy = target / PurePosixPath(path).relative_to(folder)
        with copy.open("rb") as handle:
            found = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False))
        if found.hexdigest() != digest:
            raise DataError(
                f"{path} of the remote has the MD5 {found.hexdigest()}, its .dvc file has"
                f" {digest}.",
                "The remote is damaged: push the data again from a good copy.",
            )
