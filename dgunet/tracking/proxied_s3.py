"""A store of MLflow's server in an S3 bucket that only the server reaches."""

from __future__ import annotations

from typing import Any

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

SCHEME = "proxied-s3"


class ProxiedS3(ArtifactRepository):  # type: ignore[misc]  # mlflow is untyped
    """The bucket and prefix of ``proxied-s3://BUCKET/PREFIX``, for ``--artifacts-destination``.

    With ``s3://``, MLflow's server offers its clients and web pages addresses of the S3 server that
    it signs for them, and has no option against it: downloads, and uploads of 500 MB or more, fail
    where they cannot reach that server. This class signs no addresses, so that all files pass
    through MLflow's server. MLflow finds it by the entry point ``mlflow.artifact_repository`` of
    the package.
    """

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._s3 = S3ArtifactRepository("s3" + artifact_uri.removeprefix(SCHEME))

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Upload a file to the folder ``artifact_path``."""
        self._s3.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Upload the files of a folder to the folder ``artifact_path``."""
        self._s3.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        """List the files and folders in the folder ``path``, as MLflow's ``FileInfo``."""
        listed: list[Any] = self._s3.list_artifacts(path)
        return listed

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file, or a folder with its content."""
        self._s3.delete_artifacts(artifact_path)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self._s3._download_file(remote_file_path, local_path)
