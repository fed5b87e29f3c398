"""Copies of checkpoints in an S3 bucket, for a machine that may vanish with its disk."""

from __future__ import annotations

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
"""The environment variable that names the place, ``s3://BUCKET/PREFIX``."""

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 20, 2
"""For a connection, and for the next bytes of an answer; and how often each request is tried."""

LIST_SECONDS = 60.0
"""For the whole list of the copies; a copy has as long, and a second more for each megabyte."""


class CopyError(Exception):
    """The bucket did not do what it was asked; the text says why."""


class Copies:
    """The copies of one training's checkpoints.

    Credentials are boto3's: ``AWS_ACCESS_KEY_ID`` and so on; ``AWS_ENDPOINT_URL`` names a server
    other than AWS.

    Requests are made in the calling thread, with no thread of boto3's own: the end of the process
    would wait for those. A server that lets bytes drip can hold `put` and `clear` for long, so
    `dgunet.training.checkpoint_uploads` calls them where nobody waits; `names` and `get` have a
    limit.

    Args:
        place: ``s3://BUCKET/PREFIX``.
        name: of the training; a folder of its own below the prefix.

    Raises:
        ConfigError: if the place is no such address.
    """

    def __init__(self, place: str, name: str) -> None:
        parts = urlsplit(place)
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or parts.query:
            raise ConfigError(
                f"{VARIABLE} is {str(Address(place))!r}.",
                "Write it as s3://BUCKET/PREFIX, with credentials in AWS_ACCESS_KEY_ID and so on.",
            )
        self.place = f"{place.rstrip('/')}/{name}"
        self._bucket = parts.netloc
        self._prefix = "/".join(part for part in (parts.path.strip("/"), name) if part) + "/"
        self._client: Any = None
        self._bytes: dict[str, int] = {}

    def put(self, path: Path, keep: int) -> None:
        """Copy a checkpoint there, whole or not at all, and leave only the last ``keep``.

        Raises:
            CopyError: if the bucket cannot be reached or refuses.
        """
        with self._asking() as client:
            client.upload_file(
                str(path), self._bucket, self._prefix + path.name, Config=_one_thread()
            )
        for old in self.names()[:-keep]:
            self._remove(old)

    def names(self) -> list[str]:
        """File names of the copies, oldest first.

        Raises:
            CopyError: if the bucket cannot be reached or refuses.
        """
        with self._asking() as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + "step-"
            )
            entries = within(
                LIST_SECONDS, lambda: [e for page in pages for e in page.get("Contents", ())]
            )
        self._bytes = {e["Key"].removeprefix(self._prefix): e["Size"] for e in entries}
        return sorted(self._bytes)

    def get(self, name: str, path: Path) -> None:
        """Bring a copy to ``path``, whole or not at all.

        Raises:
            CopyError: if the bucket cannot be reached or refuses.
            DgunetError: if the disk is full.
        """
        seconds = LIST_SECONDS + self._bytes.get(name, 0) / 1e6
        with self._asking() as client, files.atomic_path(path) as temporary:
            where = (self._bucket, self._prefix + name, str(temporary))
            within(seconds, lambda: client.download_file(*where, Config=_one_thread()))

    def clear(self) -> None:
        """Remove all of them: the training is finished.

        Raises:
            CopyError: if the bucket cannot be reached or refuses.
        """
        for name in self.names():
            self._remove(name)

    def _remove(self, name: str) -> None:
        with self._asking() as client:
            client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        patience = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        try:
            if self._client is None:
                self._client = boto3.session.Session().client("s3", config=patience)
            yield self._client
        except (Boto3Error, BotoCoreError, ClientError, TimeoutError, ValueError) as error:
            raise CopyError(" ".join(redact(str(error)).split())) from error  # ValueError: endpoint


def _one_thread() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(use_threads=False)


def bring_newest(
    copies: Copies, folder: Path, check: Callable[[Path], object], say: Callable[[str], None]
) -> None:
    """Bring the newest whole copy to ``folder``, unless what lies there is as new.

    A copy for which ``check`` raises a CheckpointError is told with ``say`` and passed over.

    Raises:
        CheckpointError: if the bucket cannot be asked: to begin anew then would lose what it has.
    """
    try:
        for name in reversed(copies.names()):
            if any(path.name >= name for path in folder.glob("step-*.ckpt")):
                return
            copies.get(name, folder / name)
            try:
                check(folder / name)
            except CheckpointError as error:
                (folder / name).unlink(missing_ok=True)
                say(f"{error} Using the copy before.")
                continue
            say(f"going on from the copy {copies.place}/{name}")
            return
    except CopyError as error:
        raise CheckpointError(
            f"{copies.place} cannot be searched for checkpoints: {error}.",
            f"Check {VARIABLE}, AWS_ENDPOINT_URL and the credentials, or unset {VARIABLE}.",
        ) from error
