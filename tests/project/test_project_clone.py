"""Clones with Windows line endings or another owner, and folders without a repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dgunet.tracking.provenance import UNKNOWN, commit_unknown_reason, git_state, standard_tags

ROOT = Path(__file__).parents[2]


def git(*arguments, cwd=ROOT):
    return subprocess.run(
        ["git", *map(str, arguments)], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


def code_version(clone):
    code = "from dgunet.system.package_digest import code_version; print(code_version())"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(clone)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """A clone as created by git on Windows by default."""
    clone = tmp_path_factory.mktemp("windows") / "clone"
    git("clone", "--quiet", "-c", "core.autocrlf=true", ROOT, clone)
    return clone


def test_a_windows_clone_has_no_crlf_files(windows):
    assert not [
        line for line in git("ls-files", "--eol", cwd=windows).splitlines() if "w/crlf" in line
    ]


def test_the_sample_data_can_be_pulled_in_a_windows_clone(windows):
    dvc = Path(sys.executable).with_name("dvc")
    done = subprocess.run(
        [dvc, "pull", "--quiet", "data"], cwd=windows, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (windows / "data" / "sample" / "test").is_dir()


def test_the_code_version_does_not_depend_on_line_endings(windows, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(windows / "dgunet", copy / "dgunet")
    before = code_version(copy)
    assert before == code_version(windows)
    changed = copy / "dgunet" / "terms.py"
    changed.write_bytes(changed.read_bytes().replace(b"\n", b"\r\n"))
    assert code_version(copy) == before
    changed.write_bytes(changed.read_bytes() + b"# more\r\n")
    assert code_version(copy) != before


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A folder outside any repository; git does not read the settings of this machine."""
    for name in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", os.devnull)
    monkeypatch.delenv("DGUNET_GIT_COMMIT", raising=False)
    return tmp_path


def repository(folder, *, commit=True):
    git("init", "--quiet", folder)
    if commit:
        me = ("-c", "user.name=me", "-c", "user.email=me@example.org")
        git(*me, "commit", "--quiet", "--allow-empty", "--message", "first", cwd=folder)
    return folder


def test_a_repository_reports_its_commit(alone, capfd):
    repository(alone)
    assert len(git_state(alone)[0]) == 40
    standard_tags(alone, {"profile": "sample"})
    assert "WARNING" not in capfd.readouterr().err


def foreign(folder):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    repository(folder)
    for path in (folder, folder / ".git"):
        os.chown(path, 12345, 12345)


@pytest.mark.parametrize(
    ("make", "reason", "fix"),
    [
        (
            lambda folder: None,
            "is not a git repository (for example a ZIP download",
            "Clone it with git",
        ),
        (lambda folder: repository(folder, commit=False), "has no commit yet", "Make a commit"),
        (foreign, "it belongs to another user", "git config --global --add safe.directory"),
    ],
)
def test_an_unknown_commit_is_reported_once_with_its_fix(alone, capfd, make, reason, fix):
    make(alone)
    assert git_state(alone) == (UNKNOWN, UNKNOWN)
    assert standard_tags(alone, {"profile": "sample"})["git.commit"] == UNKNOWN
    errors = capfd.readouterr().err
    assert errors.startswith("dgunet: WARNING: runs are recorded without the commit of their code")
    assert reason in errors and fix in errors and "DGUNET_GIT_COMMIT" in errors
    assert len(errors.splitlines()) == 1
    standard_tags(alone, {"profile": "sample"})
    assert not capfd.readouterr().err, "only once, not for every stage"


def test_missing_git_is_reported(alone, monkeypatch):
    monkeypatch.setenv("PATH", str(alone))
    assert commit_unknown_reason(alone)[0] == "git is not installed"


def test_a_commit_given_by_the_environment_is_used(alone, monkeypatch, capfd):
    monkeypatch.setenv("DGUNET_GIT_COMMIT", "a" * 40)
    assert standard_tags(alone, {"profile": "sample"})["git.commit"] == "a" * 40
    assert not capfd.readouterr().err
