"""Fixtures: a project folder with a space in its path, an MLflow store, a clean environment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dgunet.tracking import TrackingFolders, ensure_store
from dgunet.tracking.journal import damage
from dgunet.tracking.server import mlflow_store

ENVIRONMENT = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "KFP_RUN_ID",
    "DGUNET_IMAGE_DIGEST",
    "DGUNET_TRACKING",
    "DGUNET_CAMPAIGN",
    "DGUNET_GIT_COMMIT",
    "DVC_STAGE",
    "DVC_EXP_NAME",
    "RANK",
)


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; creating one takes seconds, so tests copy it."""
    home = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        ensure_store(TrackingFolders(home))
    return home / "mlflow.db"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrackingFolders:
    """A project without an MLflow store."""
    home = tmp_path / "a project"
    home.mkdir()
    (home / "params.yaml").write_text("profile: sample\n")
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DGUNET_HOME", str(home))
    # The folder is no repository, which would log a warning; see `test_project_clone`.
    monkeypatch.setenv("DGUNET_GIT_COMMIT", "0" * 40)
    return TrackingFolders(home)


@pytest.fixture
def project(bare: TrackingFolders, made_store: Path) -> TrackingFolders:
    """A project with an empty sqlite store."""
    shutil.copyfile(made_store, bare.home / "mlflow.db")
    return bare


@pytest.fixture
def client(project: TrackingFolders) -> Any:
    """An MLflow client for the project's store."""
    return mlflow_store.client(project.uri)


@pytest.fixture
def deliver_later(project: TrackingFolders, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs stay in the journal until a test delivers them; no damage has been reported yet."""
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    damage._reported.clear()
    yield
    damage._reported.clear()
