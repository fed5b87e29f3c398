"""Calls of git for the repository of a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dgunet.system import environment


def run_git(
    folder: Path, *arguments: str, seconds: float = 10
) -> subprocess.CompletedProcess[str] | None:
    """Run git in ``folder``, with messages in English and without taking locks.

    Returns:
        The finished command; None if git is not installed or takes more than ``seconds``.
    """
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
            env=environment.for_child({"LC_ALL": "C"}),
        )
    except (OSError, subprocess.SubprocessError):
        return None


def git_output(folder: Path, *arguments: str, seconds: float = 10) -> str | None:
    """Return the output of git in ``folder``, stripped; None if the command fails."""
    done = run_git(folder, *arguments, seconds=seconds)
    return done.stdout.strip() if done is not None and done.returncode == 0 else None
