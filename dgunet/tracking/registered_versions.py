"""The registered models at a glance, without the seconds that importing MLflow takes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from dgunet.terms import CHECKPOINT_TAG
from dgunet.tracking.home import TrackingFolders, sqlite_path
from dgunet.tracking.registry import Registry, Version
from dgunet.tracking.server.mlflow_store import has_store

_DELETED = "Deleted_Internal"
"""What MLflow writes as the stage of a version that was deleted."""


def registered_versions(folders: TrackingFolders) -> list[Version]:
    """Return all versions of the registered models of dgunet; none without a store.

    An SQLite store is read directly. MLflow's client is asked for all other stores, and where the
    tables are not those that are known here.

    Raises:
        TrackingError: if the store does not answer, or is damaged.
    """
    if not has_store(folders):
        return []
    path = sqlite_path(folders.uri)
    if path is not None:
        try:
            return _read(path)
        except sqlite3.Error:
            pass  # another schema, or locked: MLflow knows what to do
    registry = Registry(folders)
    return [version for name in registry.names() for version in registry.versions(name)]


def _read(path: Path) -> list[Version]:
    with closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "select name, version from model_versions"
            " where name like 'dgunet-%' and current_stage <> ? order by name, version",
            (_DELETED,),
        ).fetchall()
        tags: dict[tuple[str, int], dict[str, str]] = {}
        for name, version, key, value in connection.execute(
            "select name, version, key, value from model_version_tags"
        ):
            tags.setdefault((name, version), {})[key] = value
        aliases: dict[tuple[str, int], list[str]] = {}
        for name, version, alias in connection.execute(
            "select name, version, alias from registered_model_aliases"
        ):
            aliases.setdefault((name, version), []).append(alias)
    return [
        Version(
            name,
            str(version),
            tags.get((name, version), {}).get(CHECKPOINT_TAG, ""),
            tags.get((name, version), {}),
            tuple(sorted(aliases.get((name, version), ()))),
        )
        for name, version in found
    ]
