"""The tags that every run carries: where it comes from and what it belongs to."""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

UNKNOWN = "unknown"

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


def _git(home: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(home), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def data_digest(home: Path) -> str:
    """The digest of the whole data folder that ``data.dvc`` holds, else ``unknown``."""
    pointer = home / "data.dvc"
    found = re.search(r"md5:\s*(\S+)", pointer.read_text()) if pointer.is_file() else None
    return found[1] if found else UNKNOWN


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return UNKNOWN
