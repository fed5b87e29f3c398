"""The tags that every run carries: where it comes from and what it belongs to."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dgunet.system import files
from dgunet.system.errors import DgunetError

UNKNOWN = "unknown"

DAY_SECONDS = 24 * 3600

_FROM_ENVIRONMENT = {
    "DVC_STAGE": "dvc.stage",
    "DVC_EXP_NAME": "dvc.exp_name",
    "DVC_EXP_BASELINE_REV": "dvc.exp_baseline_rev",
    "KFP_RUN_ID": "kfp.run_id",
    "DGUNET_IMAGE_DIGEST": "image.digest",
}


def standard_tags(home: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Tags of a run in the project at ``home``, with ``given`` on top.

    ``DGUNET_GIT_COMMIT`` names the commit where there is no repository, as in an image.
    """
    profile = given.get("profile", UNKNOWN)
    commit, dirty = git_state(home)
    if commit == UNKNOWN:
        _warn_once(home)
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    tags = {
        "profile": profile,
        "campaign": os.environ.get("DGUNET_CAMPAIGN") or f"{profile}-local",
        "data.digest": data_digest(home),
        "git.commit": commit,
        "git.dirty": dirty,
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": command,
        "mlflow.user": _user(),
    }
    if commit != UNKNOWN:
        tags["mlflow.source.git.commit"] = commit
    for variable, tag in _FROM_ENVIRONMENT.items():
        if value := os.environ.get(variable):
            tags[tag] = value
    return tags | dict(given)


def git_state(home: Path) -> tuple[str, str]:
    """The commit and ``true``/``false`` for changed tracked files; ``unknown`` without git.

    ``dvc.lock`` does not count: the pipeline itself rewrites it while it runs.
    """
    if commit := os.environ.get("DGUNET_GIT_COMMIT"):
        return commit, os.environ.get("DGUNET_GIT_DIRTY", UNKNOWN)
    head = _git(home, "rev-parse", "HEAD")
    if not head:
        return UNKNOWN, UNKNOWN
    changes = _git(
        home, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock"
    )
    return head, UNKNOWN if changes is None else str(bool(changes)).lower()


def why_unknown(home: Path) -> tuple[str, str]:
    """Why no commit can be named for ``home``, and what to do about it."""
    done = _run_git(home, "rev-parse", "HEAD")
    by_hand = "or say the commit with DGUNET_GIT_COMMIT"
    if done is None:
        return "git is not installed", f"Install git, {by_hand}."
    if "dubious ownership" in done.stderr:
        return (
            f"git refuses {home}, because another user owns it",
            f"Run: git config --global --add safe.directory {shlex.quote(str(home))}; {by_hand}.",
        )
    if "not a git repository" in done.stderr:
        return (
            f"{home} is no git repository, as a ZIP download or a copy without .git is none",
            f"Clone it with git, {by_hand}.",
        )
    if "unknown revision" in done.stderr or "Needed a single revision" in done.stderr:
        return f"the repository at {home} has no commit yet", f"Commit, {by_hand}."
    said = " ".join(done.stderr.split())[:200] or f"it ended with status {done.returncode}"
    return f"git cannot tell ({said})", f"Mend the repository, {by_hand}."


def _warn_once(home: Path) -> None:
    """Say loudly that results will not name their commit; once a day for each reason."""
    reason, fix = why_unknown(home)
    note = home / ".dgunet" / "commit-unknown"
    with suppress(OSError):
        if note.read_text(encoding="utf-8") == reason and _age(note) < DAY_SECONDS:
            return
    with suppress(OSError, DgunetError):
        files.write_text(note, reason)
    print(
        f"dgunet: WARNING: runs here cannot name the commit of their code: {reason}. {fix}",
        file=sys.stderr,
    )


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _git(home: Path, *arguments: str) -> str | None:
    done = _run_git(home, *arguments)
    return done.stdout.strip() if done is not None and done.returncode == 0 else None


def _run_git(home: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """What git says, in English; None without git, or if it takes more than ten seconds."""
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", str(home), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=False,
            env=os.environ | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return None


def data_digest(home: Path) -> str:
    """The digest of the whole data folder that ``data.dvc`` holds, else ``unknown``."""
    pointer = home / "data.dvc"
    found = (
        re.search(r"md5:\s*(\S+)", pointer.read_text(encoding="utf-8"))
        if pointer.is_file()
        else None
    )
    return found[1] if found else UNKNOWN


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return UNKNOWN
