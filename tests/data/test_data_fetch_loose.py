"""Fetching a dataset of single files: it is imported once all files are complete."""

from contextlib import ExitStack

import pytest
from data_web import Site, serve
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.acquisition.loose_files import fetch_files
from dgunet.data.check.dataset_check import check_dataset
from dgunet.system.errors import DataError
from dgunet.system.files import sha256_bytes

NAMES = ("ValidationNoisyBlocksSrgb.mat", "ValidationGtBlocksSrgb.mat")


@pytest.fixture
def sites(sample_root):
    """Servers of the two files of SIDD."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(serve(Site((sample_root / "test/SIDD" / name).read_bytes())))
            for name in NAMES
        ]


def addresses(sites, digests=False):
    urls = [s.url.replace("archive.zip?token=secret", n) for s, n in zip(sites, NAMES, strict=True)]
    if not digests:
        return urls
    return [f"{u}#sha256={sha256_bytes(s.content)}" for u, s in zip(urls, sites, strict=True)]


def test_the_two_files_of_sidd_are_fetched_and_imported(sites, tmp_path):
    fetched = fetch_files("SIDD", addresses(sites), tmp_path / "root", tmp_path / "downloads")
    assert fetched.imported.folder == tmp_path / "root/test/SIDD"
    assert fetched.imported.files == 2
    assert check_dataset("SIDD", tmp_path / "root").healthy
    assert "not verified" in fetched.lines()[-1]
    assert [p.name for p in (tmp_path / "downloads").iterdir()] == [".SIDD.lock"]


def test_a_broken_file_is_resumed_and_a_complete_one_is_not_requested_again(sites, tmp_path):
    noisy, clean = sites
    clean.cut = [1000, 0]
    folders = (tmp_path / "root", tmp_path / "downloads")
    with pytest.raises(DataError, match=f"{NAMES[1]} of SIDD could not be fetched"):
        fetch_files("SIDD", addresses(sites), *folders)
    assert not (tmp_path / "root/test").exists()
    fetch_files("SIDD", addresses(sites), *folders)
    assert noisy.requests == [None]
    assert clean.requests[-1] == "bytes=1000-"


def test_a_digest_in_the_address_is_verified(sites, tmp_path):
    good = addresses(sites, digests=True)
    bad = [good[0], good[1][:-1] + ("0" if good[1][-1] != "0" else "1")]
    folders = (tmp_path / "root", tmp_path / "downloads")
    with pytest.raises(DataError, match="its SHA-256 is"):
        fetch_files("SIDD", bad, *folders)
    fetched = fetch_files("SIDD", good, *folders)
    assert fetched.verified == "verified by the SHA-256 of every file"


def test_files_that_are_not_the_dataset_are_refused(sites, tmp_path):
    folders = (tmp_path / "root", tmp_path / "downloads")
    one = addresses(sites)[0]
    with pytest.raises(DataError, match="have the same name"):
        fetch_files("SIDD", [one, one], *folders)
    with pytest.raises(DataError, match=NAMES[1]):
        fetch_files("SIDD", [one], *folders)
    with pytest.raises(DataError, match="64 hexadecimal digits"):
        fetch_files("SIDD", [f"{one}#sha256=12"], *folders)
    assert not (tmp_path / "root/test").exists()


def test_the_fetch_command_accepts_local_files(sample_root, tmp_path):
    paths = [str(sample_root / "test/SIDD" / name) for name in NAMES]
    folders = ["--root", str(tmp_path / "root"), "--downloads", str(tmp_path / "downloads")]
    result = CliRunner().invoke(data, ["fetch", "SIDD", "--files", *paths, *folders])
    assert result.exit_code == 0, result.output
    assert "2 files in" in result.stdout
