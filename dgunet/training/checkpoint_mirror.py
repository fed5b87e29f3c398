"""A mirror of checkpoints in an S3 bucket, for a machine whose disk may be lost with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dgunet.system import files
from dgunet.system.address import Address, redact
from dgunet.system.deadline import within
from dgunet.system.errors import CheckpointError, ConfigError

VARIABLE = "DGUNET_CHECKPOINTS"
"""The environment variable with the mirror's address, which the steps read."""

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 20, 2
"""Limits for a connection and for the next bytes of a response; attempts for each request."""

LIST_SECONDS = 60.0
"""Limit for listing the bucket; a download has as long, and a second more for each megabyte."""

logger = logging.getLogger(__name__)


class MirrorError(Exception):
    """The bucket cannot be reached or refuses a request; the text gives the reason."""


class CheckpointMirror:
    """Copies of one training's checkpoints in a bucket.

    Credentials are boto3's: ``AWS_ACCESS_KEY_ID`` and so on; ``AWS_ENDPOINT_URL`` names a server
    other than AWS.

    Requests run in the calling thread. Threads of boto3 would delay the end of the process. A
    server that sends its response very slowly can block `put` and `clear` for long, so
    `dgunet.training.checkpoint_uploads` calls them in the background; `names` and `get` have a time
    limit.

    Args:
        address: ``s3://BUCKET/PREFIX``.
        name: of the training; its objects are in a folder of this name below the prefix.

    Raises:
        ConfigError: if the address is not of that form.
    """

    def __init__(self, address: str, name: str) -> None:
        parts = urlsplit(address)
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or parts.query:
            raise ConfigError(
                f"{VARIABLE} is {str(Address(address))!r}.",
                "Write it as s3://BUCKET/PREFIX, with credentials in AWS_ACCESS_KEY_ID and so on.",
            )
        self.address = f"{address.rstrip('/')}/{name}"
        self._bucket = parts.netloc
        self._prefix = "/".join(part for part in (parts.path.strip("/"), name) if part) + "/"
        self._client: Any = None
        self._bytes: dict[str, int] = {}

    def put(self, path: Path, keep: int) -> None:
        """Upload a checkpoint, whole or not at all, and remove all but the last ``keep``.

        Raises:
            MirrorError: if the bucket cannot be reached or refuses.
        """
        with self._requests() as client:
            client.upload_file(
                str(path), self._bucket, self._prefix + path.name, Config=_one_thread()
            )
        for old in self.names()[:-keep]:
            self._remove(old)

    def names(self) -> list[str]:
        """File names of the checkpoints in the bucket, oldest first.

        Raises:
            MirrorError: if the bucket cannot be reached or refuses.
        """
        with self._requests() as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + "step-"
            )
            entries = within(
                LIST_SECONDS, lambda: [e for page in pages for e in page.get("Contents", ())]
            )
        self._bytes = {e["Key"].removeprefix(self._prefix): e["Size"] for e in entries}
        return sorted(self._bytes)

    def get(self, name: str, path: Path) -> None:
        """Download a checkpoint to ``path``, whole or not at all.

        Raises:
            MirrorError: if the bucket cannot be reached or refuses.
            DgunetError: if the disk is full.
        """
        seconds = LIST_SECONDS + self._bytes.get(name, 0) / 1e6
        with self._requests() as client, files.atomic_path(path) as temporary:
            source = (self._bucket, self._prefix + name, str(temporary))
            within(seconds, lambda: client.download_file(*source, Config=_one_thread()))

    def clear(self) -> None:
        """Remove all checkpoints of the finished training.

        Raises:
            MirrorError: if the bucket cannot be reached or refuses.
        """
        for name in self.names():
            self._remove(name)

    def _remove(self, name: str) -> None:
        with self._requests() as client:
            client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    @contextmanager
    def _requests(self) -> Iterator[Any]:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        limits = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        try:
            if self._client is None:
                self._client = boto3.session.Session().client("s3", config=limits)
            yield self._client
        except (Boto3Error, BotoCoreError, ClientError, TimeoutError, ValueError) as error:
            # boto3 raises ValueError for an invalid endpoint.
            raise MirrorError(" ".join(redact(str(error)).split())) from error


def _one_thread() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(use_threads=False)


def download_newest(
    mirror: CheckpointMirror, folder: Path, check: Callable[[Path], object]
) -> None:
    """Download the newest whole checkpoint to ``folder``, unless the folder has one as new.

    A checkpoint for which ``check`` raises a CheckpointError is logged and skipped.

    Raises:
        CheckpointError: if the bucket cannot be listed or read. Starting from step 0 instead would
            lose the progress stored there.
    """
    try:
        for name in reversed(mirror.names()):
            if any(path.name >= name for path in folder.glob("step-*.ckpt")):
                return
            mirror.get(name, folder / name)
            try:
                check(folder / name)
            except CheckpointError as error:
                (folder / name).unlink(missing_ok=True)
                logger.warning("%s Using the mirrored checkpoint before it.", error)
                continue
            logger.info("resuming from the mirrored checkpoint %s/%s", mirror.address, name)
            return
    except MirrorError as error:
        raise CheckpointError(
            f"{mirror.address} cannot be searched for checkpoints: {error}.",
            f"Check {VARIABLE}, AWS_ENDPOINT_URL and the credentials, or unset {VARIABLE}.",
        ) from error
