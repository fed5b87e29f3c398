"""Checkpoint mirror in an S3 bucket, for machines whose local disk does not outlive them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dgunet.system import environment, files
from dgunet.system.address import Address, redact
from dgunet.system.deadline import within
from dgunet.system.errors import CheckpointError, ConfigError

VARIABLE = environment.CHECKPOINTS.name
"""Environment variable that contains the mirror's address."""

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 20, 2
"""Time limits for a connection and for the next bytes of a response; attempts per request."""

LIST_SECONDS = 60.0
"""Time limit for listing the bucket; a download may take one second longer per megabyte."""

logger = logging.getLogger(__name__)


class MirrorError(Exception):
    """The bucket cannot be reached or rejects a request; the message gives the reason."""


class CheckpointMirror:
    """Copies of one training's checkpoints in a bucket.

    boto3 reads the credentials from ``AWS_ACCESS_KEY_ID`` and related variables;
    ``AWS_ENDPOINT_URL`` selects a server other than AWS.

    Requests run in the calling thread, because boto3's own threads would delay the end of the
    process. A server that responds very slowly can block `put` and `clear` for a long time, so
    `dgunet.training.checkpoint_uploads` calls them in the background. `names` and `get` have a time
    limit.

    Args:
        address: ``s3://BUCKET/PREFIX``.
        name: name of the training run; its objects are in a folder of this name below the prefix.

    Raises:
        ConfigError: if the address is not of that form.
    """

    def __init__(self, address: str, name: str) -> None:
        place = Address(address).bucket
        if place is None:
            raise ConfigError(
                f"{VARIABLE} is {str(Address(address))!r}.",
                "Use the form s3://BUCKET/PREFIX; credentials belong in AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY.",
            )
        self.address = f"{address.rstrip('/')}/{name}"
        self._bucket, folder = place
        self._prefix = "/".join(part for part in (folder, name) if part) + "/"
        self._client: Any = None
        self._bytes: dict[str, int] = {}

    def put(self, path: Path, keep: int) -> None:
        """Upload a checkpoint, completely or not at all, and remove all but the last ``keep``.

        Raises:
            MirrorError: if the bucket cannot be reached or rejects the request.
        """
        with self._requests() as client:
            client.upload_file(
                str(path), self._bucket, self._prefix + path.name, Config=_one_thread()
            )
        for old in self.names()[:-keep]:
            self._remove(old)

    def names(self) -> list[str]:
        """Return the file names of the checkpoints in the bucket, oldest first.

        Raises:
            MirrorError: if the bucket cannot be reached or rejects the request.
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
        """Download a checkpoint to ``path``, completely or not at all.

        Raises:
            MirrorError: if the bucket cannot be reached or rejects the request.
            DgunetError: if the disk is full.
        """
        seconds = LIST_SECONDS + self._bytes.get(name, 0) / 1e6
        with self._requests() as client, files.atomic_path(path) as temporary:
            source = (self._bucket, self._prefix + name, str(temporary))
            within(seconds, lambda: client.download_file(*source, Config=_one_thread()))

    def clear(self) -> None:
        """Remove all checkpoints of the finished training run.

        Raises:
            MirrorError: if the bucket cannot be reached or rejects a request.
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
    """Download the newest intact checkpoint, unless ``folder`` has one that is at least as new.

    A checkpoint for which ``check`` raises a CheckpointError is logged and skipped.

    Raises:
        CheckpointError: if the bucket cannot be listed or read. Starting from step 0 instead would
            lose the progress that is stored there.
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
                logger.warning("%s Trying the previous mirrored checkpoint.", error)
                continue
            logger.info("resuming from the mirrored checkpoint %s/%s", mirror.address, name)
            return
    except MirrorError as error:
        raise CheckpointError(
            f"{mirror.address} cannot be searched for checkpoints: {error}.",
            f"Check {VARIABLE}, AWS_ENDPOINT_URL and the credentials, or unset {VARIABLE}.",
        ) from error
