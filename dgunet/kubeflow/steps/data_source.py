"""The data source of a pipeline's step: a folder, or a git repository with DVC at a commit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from dgunet.data.catalogue.entries import dataset
from dgunet.system import files
from dgunet.system.errors import ConfigError, DataError
from dgunet.tools.dvc_fetch import fetch_from_dvc, sets_in_dvc

COMMIT = re.compile(r"[0-9a-f]{40}")


def is_folder(source: str) -> bool:
    """Whether ``source`` is a folder with datasets, not a git repository with DVC.

    A repository on this machine is written as ``file:///path``.
    """
    return "://" not in source and not source.startswith("git@")


def check_source(source: str, version: str) -> None:
    """Refuse a source without a version, by which the pipeline's cache detects changed data.

    Raises:
        ConfigError: for a repository without a full commit hash, or a folder without a version.
    """
    if not is_folder(source) and not COMMIT.fullmatch(version):
        raise ConfigError(
            f"data_version {version!r} is not a commit hash of {source}.",
            "Give all 40 digits: a branch can move, and the cache would not detect it.",
        )
    if not version:
        raise ConfigError(
            f"no data_version for {source}.", "Give any text that changes when the data changes."
        )


@contextmanager
def trees(profile: str, name: str, source: str, version: str) -> Iterator[Path]:
    """The folder with dataset ``name``; a downloaded one is removed after the ``with`` block.

    Args:
        profile: names the folder in a repository, ``data/<profile>``.
        name: a catalogue key.
        source: a folder with datasets in their official layout, or the address of a git
            repository with DVC.
        version: of the data: the commit, or any text for a folder.

    Raises:
        ConfigError: as `check_source`.
        DataError: if the dataset is missing or incomplete, or its MD5 differs.
    """
    check_source(source, version)
    if is_folder(source):
        yield Path(source)
        return
    with files.partial_folder(Path(gettempdir()) / "dgunet-data") as root:
        address = source.removeprefix("file://")
        fetch_from_dvc(name, address, version, root, folder=f"data/{profile}")
        yield root


def existing_sets(profile: str, names: Sequence[str], source: str, version: str) -> list[str]:
    """Those of the datasets ``names`` that the source has, in their order, without a download.

    Raises:
        ConfigError: as `check_source`.
        DataError: for an unknown dataset, or an unreadable source.
    """
    check_source(source, version)
    infos = [dataset(name) for name in names]
    if is_folder(source):
        if not Path(source).is_dir():
            raise DataError(f"no folder {source}.", "Mount the data, or give a DVC repository.")
        exist = [any(path.is_dir() for _, path in i.candidates(Path(source))) for i in infos]
        return [name for name, found in zip(names, exist, strict=True) if found]
    address = source.removeprefix("file://")
    return sets_in_dvc(names, address, version, folder=f"data/{profile}")
