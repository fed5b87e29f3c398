"""The standard tags of every run: code, data, machine, campaign and pipeline."""

from __future__ import annotations

import getpass
import logging
import os
import platform
import re
import shlex
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from dgunet.system import environment, files
from dgunet.system.errors import DgunetError
from dgunet.system.git import git_output, run_git
from dgunet.system.machine_limits import processors

UNKNOWN = "unknown"

DAY_SECONDS = 24 * 3600

_FROM_ENVIRONMENT = (
    (environment.DVC_EXPERIMENT, "dvc.exp_name"),
    (environment.KFP_RUN_ID, "kfp.run_id"),
    (environment.IMAGE_DIGEST, "image.digest"),
)
"""Variables that become tags of every run."""

PROCESS = "dgunet.process"
"""Tag of a running run with host and process id; delivery removes it when the run has ended."""

_PACKAGES = ("dgunet", "torch", "numpy", "mlflow", "dvc", "kfp")

_LOG = logging.getLogger(__name__)


def standard_tags(home: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The standard tags of a run in the project at ``home``; those of ``given`` take precedence."""
    profile = given.get("profile", UNKNOWN)
    commit, dirty = git_state(home)
    if commit == UNKNOWN:
        _warn_once(home)
    tags = {
        "profile": profile,
        "campaign": environment.CAMPAIGN.get() or f"{profile}-local",
        "data.digest": data_digest(home),
        "git.commit": commit,
        "git.dirty": dirty,
        PROCESS: f"{socket.gethostname()} {os.getpid()}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": _command(),
        "mlflow.user": _user(),
    }
    if commit != UNKNOWN:
        tags["mlflow.source.git.commit"] = commit
    for variable, tag in _FROM_ENVIRONMENT:
        if value := variable.get():
            tags[tag] = value
    return tags | dict(given)


def process_facts() -> dict[str, Any]:
    """Machine, command and versions of this process, which nobody searches or compares."""
    dvc = {"stage": environment.DVC_STAGE.get(), "baseline": environment.DVC_BASELINE.get()}
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "user": _user(),
        "command": _command(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "processors_allowed": processors(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    } | ({"dvc": dvc} if dvc["stage"] else {})


def _command() -> str:
    """The command and its subcommand; further arguments may contain secrets."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_state(home: Path) -> tuple[str, str]:
    """The commit, and whether tracked files differ from it: ``true``, ``false`` or ``unknown``.

    ``DGUNET_GIT_COMMIT`` takes precedence over git, for images, which have no repository. Changes
    of ``dvc.lock`` are ignored, because the pipeline itself writes it.
    """
    if commit := environment.GIT_COMMIT.get():
        return commit, environment.GIT_DIRTY.get()
    head = git_output(home, "rev-parse", "HEAD")
    if not head:
        return UNKNOWN, UNKNOWN
    changes = git_output(
        home,
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ".",
        ":(exclude,glob)**/dvc.lock",
    )
    return head, UNKNOWN if changes is None else str(bool(changes)).lower()


def commit_unknown_reason(home: Path) -> tuple[str, str]:
    """Why the commit of ``home`` is unknown, and how to fix that."""
    done = run_git(home, "rev-parse", "HEAD")
    by_hand = "or set DGUNET_GIT_COMMIT"
    if done is None:
        return "git is not installed", f"Install git, {by_hand}."
    if "dubious ownership" in done.stderr:
        return (
            f"git refuses {home}, because it belongs to another user",
            f"Run: git config --global --add safe.directory {shlex.quote(str(home))}; {by_hand}.",
        )
    if "not a git repository" in done.stderr:
        return (
            f"{home} is not a git repository (for example a ZIP download, or a copy without .git)",
            f"Clone it with git, {by_hand}.",
        )
    if "unknown revision" in done.stderr or "Needed a single revision" in done.stderr:
        return f"the repository at {home} has no commit yet", f"Make a commit, {by_hand}."
    message = " ".join(done.stderr.split())[:200] or f"it ended with status {done.returncode}"
    return f"git failed ({message})", f"Repair the repository, {by_hand}."


def _warn_once(home: Path) -> None:
    """Warn, once a day for each reason, that runs are recorded without their commit."""
    reason, fix = commit_unknown_reason(home)
    note = home / ".dgunet" / "commit-unknown"
    with suppress(OSError):
        if note.read_text(encoding="utf-8") == reason and _age(note) < DAY_SECONDS:
            return
    with suppress(OSError, DgunetError):
        files.write_text(note, reason)
    _LOG.warning("WARNING: runs are recorded without the commit of their code: %s. %s", reason, fix)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def data_digest(home: Path) -> str:
    """The digest of the data folder in ``data.dvc``, or ``unknown``."""
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
