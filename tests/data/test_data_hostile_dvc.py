"""An untrusted DVC repository as source: file list, file modes and address."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from data_hostile import png

from dgunet.system.errors import DataError
from dgunet.tools.dvc_fetch import fetch_from_dvc


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose Set11 contains an image, a script and a text file."""
    for name in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "tests")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tests@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    home = tmp_path / "repository"
    folder = home / "data/paper/test/Set11"
    folder.mkdir(parents=True)
    for name, content in (("one.png", png()), ("run.sh", b"#!/bin/sh\n"), ("README.md", b"hello")):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o755)
    git(home, "init", "-q", ".")
    dvc(home, "init", "-q")
    dvc(home, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    dvc(home, "add", "-q", "data")
    dvc(home, "push", "-q")
    commit(home)
    return home


def git(home, *arguments):
    subprocess.run(["git", *arguments], cwd=home, check=True, capture_output=True)


def dvc(home, *arguments):
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=home, check=True)


def commit(home):
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "x")


def test_only_files_of_the_dataset_are_fetched_and_none_is_executable(repository, tmp_path):
    fetched = fetch_from_dvc("Set11", str(repository), "HEAD", tmp_path / "root")
    assert [path.name for path in fetched.imported.folder.iterdir()] == ["one.png"]
    assert fetched.imported.files == 1
    assert not (fetched.imported.folder / "one.png").stat().st_mode & 0o111
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["test"]


@pytest.mark.parametrize("name", ["../../../../evil.png", "/tmp/dgunet-evil/evil.png"])
def test_a_list_of_files_that_leads_outside_writes_nothing(name, repository, tmp_path):
    """The digest in the .dvc file matches the manipulated list."""
    store = tmp_path / "store/files/md5"
    (listing,) = store.rglob("*.dir")
    entries = json.loads(listing.read_text())
    entries.append({"md5": entries[0]["md5"], "relpath": name})
    text = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]))
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    (store / digest[:2]).mkdir(exist_ok=True)
    (store / digest[:2] / f"{digest[2:]}.dir").write_text(text)
    old = f"{listing.parent.name}{listing.name}"
    pointer = repository / "data.dvc"
    pointer.write_text(pointer.read_text().replace(old, f"{digest}.dir"))
    commit(repository)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DataError) as caught:
        fetch_from_dvc("Set11", str(repository), "HEAD", tmp_path / "root")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "root").iterdir())
    assert {path.name for path in tmp_path.iterdir()} - {"root"} <= set(before)
    assert not list(tmp_path.rglob("evil.png"))


def test_credentials_of_a_repository_are_not_shown(tmp_path):
    with pytest.raises(DataError) as caught:
        fetch_from_dvc("Set11", "http://me:secret@127.0.0.1:9/x.git", "v1", tmp_path / "root")
    assert "secret" not in str(caught.value)
