"""Fetching over HTTP: resuming, mirrors, verification and invalid arguments."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from data_stores import with_release
from data_web import Site, serve
from filelock import FileLock
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.acquisition.downloading import Download
from dgunet.data.acquisition.fetching import fetch_dataset
from dgunet.data.acquisition.remotes import RemoteError
from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.data.check.dataset_check import check_dataset
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError


@pytest.fixture(scope="session")
def archive(sample_root, tmp_path_factory):
    """Test100's sample (no known digest) as a zip."""
    folder = tmp_path_factory.mktemp("archive")
    name = shutil.make_archive(str(folder / "a"), "zip", sample_root / "test", "Test100")
    return (folder / name).read_bytes()


@pytest.fixture
def site(archive):
    """A function that serves the archive or other content during the test."""
    with ExitStack() as stack:
        yield lambda content=archive, **options: stack.enter_context(
            serve(Site(content, **options))
        )


@pytest.fixture
def fetch(tmp_path):
    """Fetch Test100 from urls into this test's folders."""

    def run(*urls, name="Test100", **options):
        return fetch_dataset(name, urls, tmp_path / "root", tmp_path / "downloads", **options)

    return run


def sha(content):
    return files.sha256_bytes(content)


def leftovers(tmp_path):
    folder = tmp_path / "downloads"
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


# Complete downloads.


def test_a_dataset_is_fetched_and_no_other_file_remains(site, fetch, archive, tmp_path):
    seen = []
    fetched = fetch(site().url, observe=lambda here, total: seen.append((here, total)))
    assert fetched.imported.folder == tmp_path / "root/test/Test100"
    assert check_dataset("Test100", tmp_path / "root").healthy
    assert fetched.sha256 == sha(archive)
    assert "not verified" in fetched.lines()[-1]
    assert not any("secret" in line for line in fetched.lines())
    assert seen[-1] == (len(archive), len(archive))
    assert leftovers(tmp_path) == []
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["test"]


def test_a_server_without_length_tag_or_ranges_is_sufficient(site, fetch):
    assert fetch(site(length=False, etag="", ranges=False).url).imported.pairs


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_local_path_is_imported_in_place(fetch, archive, tmp_path, prefix):
    path = tmp_path / "an archive.zip"
    path.write_bytes(archive)
    source = prefix + str(path).replace(" ", "%20" if prefix else " ")
    assert fetch(source, sha256=sha(archive)).verified == "verified by its SHA-256"
    assert path.read_bytes() == archive


# Interrupted downloads.


def test_a_broken_download_is_resumed(site, fetch, archive):
    server = site(cut=[1000, 2000, 0])
    with pytest.raises(DataError, match=r"Run the same command again to continue"):
        fetch(server.url)
    fetch(server.url)
    # The third response was empty, so that run gave up; the next run resumed there.
    assert server.requests == [None, "bytes=1000-", "bytes=3000-", "bytes=3000-"]


def test_a_download_of_a_killed_process_is_resumed(site, archive, tmp_path, fetch):
    content = archive + bytes(40_000_000)  # more than the socket buffers hold
    server = site(content)
    target = tmp_path / "downloads" / "Test100.archive"
    script = (
        "import sys, time; from pathlib import Path;"
        "from dgunet.data.acquisition.downloading import Download;"
        "Download(sys.argv[1], Path(sys.argv[2]), '', lambda here, total: time.sleep(0.2)).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", script, server.url, str(target)])
    partial = target.with_name("Test100.archive.partial")
    while process.poll() is None and not (partial.exists() and partial.stat().st_size > 1 << 20):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not target.exists()
    size = partial.stat().st_size
    assert 0 < size < len(content)
    Download(server.url, target, sha(content), lambda here, total: None).run()
    assert server.requests == [None, f"bytes={size}-"]
    assert target.read_bytes() == content
    assert leftovers(tmp_path) == ["Test100.archive", "Test100.archive.json"]


def test_a_file_that_changed_on_the_server_is_downloaded_again(site, fetch, archive, tmp_path):
    server = site(b"\0" * len(archive), etag='"old"', cut=[3000, 0])
    with pytest.raises(DataError, match="could not be fetched"):
        fetch(server.url)
    assert leftovers(tmp_path) == ["Test100.archive.partial", "Test100.archive.partial.json"]
    server.content, server.etag = archive, '"new"'
    assert fetch(server.url).sha256 == sha(archive)


def test_a_file_that_shrank_on_the_server_is_downloaded_again(site, fetch, archive):
    server = site(archive + bytes(5000), etag='"old"', cut=[len(archive) + 100, 0])
    with pytest.raises(DataError):
        fetch(server.url)
    server.content, server.etag = archive, '"new"'
    assert fetch(server.url).sha256 == sha(archive)


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_tag_a_download_is_not_resumed(site, fetch, archive, etag):
    server = site(etag=etag, cut=[3000])
    assert fetch(server.url).sha256 == sha(archive)
    assert server.requests == [None, None]


def test_a_server_without_ranges_that_always_breaks_off_is_abandoned(site, fetch):
    server = site(ranges=False, cut=[3000] * 50)
    with pytest.raises(DataError, match=r"ended early|broke"):
        fetch(server.url)
    assert len(server.requests) < 5


# Mirrors.


def test_mirrors_are_tried_in_turn(site, fetch, archive):
    gone, page, text, good = site(), site(b"<html>a page</html>"), site(b"no archive"), site()
    gone.status = 404
    lines = []
    urls = ("http://127.0.0.1:9/a.zip", gone.url, page.url, text.url, good.url)
    fetched = fetch(*urls, refused=lines.append)
    assert fetched.source == good.url.partition("?")[0]
    assert "no connection" in lines[0]
    assert "404" in lines[1]
    assert "a web page in the place of the file" in lines[2]
    assert "neither a zip nor a tar" in lines[3]


def test_without_a_good_mirror_nothing_is_left(site, fetch, archive, tmp_path):
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        fetch(site(b"nothing").url)
    assert not (tmp_path / "root").exists()
    assert leftovers(tmp_path) == []


def test_with_a_digest_another_mirror_resumes_the_download(site, fetch, archive):
    first, second = site(cut=[3000, 0]), site(etag='"other"')
    fetch(first.url, second.url, sha256=sha(archive))
    assert second.requests == ["bytes=3000-"]


def test_without_a_digest_another_mirror_restarts_the_download(site, fetch, archive):
    first, second = site(cut=[3000, 0]), site(etag='"other"')
    assert fetch(first.url, second.url).sha256 == sha(archive)
    assert second.requests == [None]


def test_a_download_that_another_mirror_began_wrongly_is_restarted(site, fetch, archive):
    first, second = site(b"\1" * len(archive), cut=[3000, 0]), site(etag='"other"')
    assert fetch(first.url, second.url, sha256=sha(archive)).sha256 == sha(archive)
    assert second.requests == ["bytes=3000-", None]


# Verification and storage.


def test_a_wrong_digest_is_refused(site, fetch, archive, tmp_path):
    with pytest.raises(DataError, match=f"its SHA-256 is {sha(archive)}, not {'0' * 64}"):
        fetch(site().url, sha256="0" * 64)
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "root").exists()


def test_without_a_given_digest_the_catalogue_digest_is_verified(
    site, fetch, sample_root, tmp_path, monkeypatch
):
    folder = tmp_path / "made"
    name = shutil.make_archive(str(tmp_path / "b"), "zip", sample_root / "test", "Rain100H")
    content = (folder / name).read_bytes()
    server = site(content)
    with pytest.raises(DataError, match="do not match a known release"):
        fetch(server.url, name="Rain100H")
    assert not list((tmp_path / "root").iterdir())
    digest = check_dataset("Rain100H", sample_root).digest
    entry = with_release(CATALOGUE["Rain100H"], digest=digest, name="the sample")
    monkeypatch.setitem(CATALOGUE, "Rain100H", entry)
    fetched = fetch(server.url, name="Rain100H")
    assert fetched.verified == "verified by its pixels: the sample"


def test_an_archive_is_kept_if_the_disk_is_too_small_to_import_it(
    site, fetch, tmp_path, monkeypatch, archive
):
    server = site()
    small = shutil.disk_usage(tmp_path)._replace(free=10)
    with monkeypatch.context() as patch:
        patch.setattr("dgunet.data.acquisition.importing.shutil.disk_usage", lambda path: small)
        with pytest.raises(DgunetError, match="GB more"):
            fetch(server.url)
    assert server.requests == [None]
    real = shutil.disk_usage
    with monkeypatch.context() as patch:
        inside = lambda path: small if tmp_path / "root" in path.parents else real(path)  # noqa: E731
        patch.setattr("dgunet.data.acquisition.importing.shutil.disk_usage", inside)
        with pytest.raises(DgunetError, match="the disk has"):
            fetch(server.url)
    assert leftovers(tmp_path) == ["Test100.archive", "Test100.archive.json"]
    fetch(server.url)
    assert server.requests == [None, None]  # the third run did not download again


def test_an_archive_downloaded_from_another_address_is_not_reused(site, fetch, tmp_path, archive):
    server = site()
    Download(server.url, tmp_path / "downloads/Test100.archive", "", lambda a, b: None).run()
    other = site()
    fetch(other.url)
    assert other.requests == [None]


# Invalid arguments and responses.


def test_bad_arguments_are_reported_before_any_request(fetch, site, tmp_path):
    server = site()
    with pytest.raises(DataError, match="64 hexadecimal digits"):
        fetch(server.url, sha256="abc")
    for url in ("ftp://example.org/a.zip", "s3://bucket"):
        with pytest.raises(DataError, match="cannot be fetched"):
            fetch(server.url, url)
    with pytest.raises(DataError, match="unknown dataset"):
        fetch(server.url, name="Rain100X")
    (tmp_path / "root/test/Test100").mkdir(parents=True)
    with pytest.raises(DataError, match="already exists"):
        fetch(server.url)
    assert server.requests == []


def test_concurrent_fetches_of_one_dataset_are_refused(fetch, site, tmp_path):
    (tmp_path / "downloads").mkdir()
    with (
        FileLock(tmp_path / "downloads/.Test100.lock"),
        pytest.raises(DataError, match="being fetched by another process"),
    ):
        fetch(site().url)


def test_a_mirror_that_sends_too_much_is_refused(tmp_path, monkeypatch):
    from contextlib import nullcontext

    from dgunet.data.acquisition.remotes import RemoteResponse

    answer = RemoteResponse(0, 3, '"t"', iter([b"abcd"]))
    monkeypatch.setattr(
        "dgunet.data.acquisition.downloading.request", lambda *a: nullcontext(answer)
    )
    with pytest.raises(RemoteError, match="more than the 3 bytes"):
        Download("http://x/y", tmp_path / "y", "", lambda a, b: None).run()
    assert list(tmp_path.iterdir()) == []


def test_the_fetch_command_with_addresses(site, archive, tmp_path):
    arguments = ["fetch", "Test100", "http://127.0.0.1:9/a.zip", site().url]
    arguments += ["--root", str(tmp_path / "root"), "--downloads", str(tmp_path / "d")]
    result = CliRunner().invoke(data, [*arguments, "--sha256", sha(archive).upper()])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "verified by its SHA-256"
    assert "refused: http://127.0.0.1:9/a.zip: no connection" in result.stderr


@pytest.mark.benchmarks_data
def test_a_real_dataset_is_verified_by_its_pixels(benchmarks, site, fetch, tmp_path):
    name = shutil.make_archive(str(tmp_path / "real"), "zip", benchmarks, "Set11")
    server = site((tmp_path / name).read_bytes(), cut=[200_000, 100_000])
    fetched = fetch(server.url, name="Set11")
    assert fetched.imported.pairs == 11
    assert fetched.verified.startswith("verified by its pixels: the eleven TIFF files")
    assert server.requests == [None, "bytes=200000-", "bytes=300000-"]
