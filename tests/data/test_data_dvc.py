"""The committed DVC pointer and remote: pulls work offline and refuse damaged objects."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dgunet.system.errors import DataError

COMMITTED = (".dvc/config", ".dvc/.gitignore", ".dvcignore", "data.dvc", "dvcstore")


@pytest.fixture
def clone(project, tmp_path):
    """The DVC files of a clone without git, in a folder whose name contains a space."""
    target = tmp_path / "a clone"
    for name in COMMITTED:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (project / name).is_dir() else shutil.copyfile
        copy(project / name, target / name)
    (target / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    return target


def dvc(folder, *arguments):
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder.parent / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder.parent / "system"),
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_data_is_pulled_offline_and_a_bad_object_is_refused(clone):
    result = dvc(clone, "pull", "data")
    assert result.returncode == 0, result.stderr
    assert (clone / "data/sample/test/Rain100H/input/1.png").is_file()
    assert dvc(clone, "status", "data").returncode == 0

    shutil.rmtree(clone / "data")
    shutil.rmtree(clone / ".dvc" / "cache")
    damaged = max((clone / "dvcstore").rglob("*"), key=lambda path: path.stat().st_size)
    damaged.chmod(0o644)
    content = bytearray(damaged.read_bytes())
    content[100] ^= 1
    damaged.write_bytes(content)
    assert dvc(clone, "pull", "data").returncode != 0
    assert not list((clone / "data").rglob(Path(damaged).name))


def test_one_dataset_is_fetched_from_a_clone_at_a_commit(
    project, clone, sample_root, tmp_path, monkeypatch
):
    """As in a container without the data: only the given commit is read."""
    from dgunet.tools.dvc_fetch import fetch_from_dvc

    (clone / ".dvc" / "config.local").unlink()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in ("SITE_CACHE_DIR", "GLOBAL_CONFIG_DIR", "SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(f"DVC_{name}", str(tmp_path / name))
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "data"]):
        subprocess.run([*git, *arguments], cwd=clone, check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=clone, text=True).strip()
    subprocess.run(["git", "rm", "-q", "--cached", "data.dvc"], cwd=clone, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "no data"], cwd=clone, check=True)

    fetched = fetch_from_dvc(
        "Rain100L", str(clone), commit, tmp_path / "root", folder="data/sample"
    )
    assert commit in fetched.source
    ours, theirs = tmp_path / "root/test/Rain100L", sample_root / "test/Rain100L"
    names = sorted(p.relative_to(theirs) for p in theirs.rglob("*.png"))
    assert names
    assert all((ours / n).read_bytes() == (theirs / n).read_bytes() for n in names)
    assert not (clone / "data").exists()
    with pytest.raises(DataError, match=r"could not be read|is not in that revision"):
        fetch_from_dvc("Rain100L", str(clone), "HEAD", tmp_path / "no", folder="data/sample")


def test_the_remote_is_the_committed_folder_with_verify_and_without_analytics(project):
    config = (project / ".dvc" / "config").read_text()
    assert "url = ../dvcstore" in config
    assert "verify = true" in config
    assert "analytics = false" in config
    size = sum(path.stat().st_size for path in (project / "dvcstore").rglob("*") if path.is_file())
    assert size < 8e6
