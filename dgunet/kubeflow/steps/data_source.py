"""Data source of a pipeline step: a folder, or a DVC remote at a commit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from dgunet.config import Params
from dgunet.data.catalogue.entries import dataset
from dgunet.system import files
from dgunet.system.errors import ConfigError, DataError
from dgunet.tools.dvc_fetch import fetch_from_dvc, sets_in_dvc

COMMIT = re.compile(r"[0-9a-f]{40}")


def is_folder(source: str) -> bool:
    """Whether ``source`` is a folder of official trees and not a repository with DVC.

    A repository on this machine is given as ``file:///path``.
    """
    return "://" not in source and not source.startswith("git@")


def check_source(source: str, version: str) -> None:
    """Refuse a source whose content is not identified, because pipelines cache their steps.

    Raises:
        ConfigError: for a repository without a full commit, or a folder without a version.
    """
    if not is_folder(source) and not COMMIT.fullmatch(version):
        raise ConfigError(
            f"data_version {version!r} is not a commit of {source}.",
            "Give all 40 digits: a branch moves, and a cached step would not notice.",
        )
    if not version:
        raise ConfigError(
            f"no data_version for {source}.", "Give a word that changes when the data changes."
        )


@contextmanager
def trees(params: Params, name: str, source: str, version: str) -> Iterator[Path]:
    """Yield the folder of official trees with dataset ``name``; a fetched one is temporary.

    Args:
        params: parameters; the profile gives the folder in a repository, ``data/<profile>``.
        name: a catalogue name.
        source: a folder of official trees, or the address of a git repository with DVC.
        version: version of the data: a commit, or any word for a folder.

    Raises:
        ConfigError: as `check_source`.
        DataError: if the dataset does not exist, is incomplete, or differs from its MD5.
    """
    check_source(source, version)
    if is_folder(source):
        yield Path(source)
        return
    with files.partial_folder(Path(gettempdir()) / "dgunet-data") as root:
        address = source.removeprefix("file://")
        fetch_from_dvc(name, address, version, root, folder=f"data/{params.profile}")
        yield root


def at_hand(params: Params, names: Sequence[str], source: str, version: str) -> list[str]:
    """Those datasets of ``names`` that the source has, in their order; nothing is fetched.

    Raises:
        ConfigError: as `check_source`.
        DataError: for an unknown dataset, or a source that cannot be read.
    """
    check_source(source, version)
    infos = [dataset(name) for name in names]
    if is_folder(source):
        if not Path(source).is_dir():
            raise DataError(
                f"there is no folder {source}.", "Mount the data, or give a DVC repository."
            )
        present = [any(path.is_dir() for _, path in i.candidates(Path(source))) for i in infos]
        return [name for name, found in zip(names, present, strict=True) if found]
    address = source.removeprefix("file://")
    return sets_in_dvc(names, address, version, folder=f"data/{params.profile}")
