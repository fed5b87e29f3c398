"""Which data a pipeline run names: a commit that others can reach, or a folder here."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from dgunet.config import Params
from dgunet.project import ProjectFolders
from dgunet.system.address import redact
from dgunet.system.errors import ConfigError
from dgunet.system.git import git_output
from dgunet.system.reading import read_text, shorten
from dgunet.tracking.provenance import UNKNOWN, commit_unknown_reason, data_digest

POINTER = "data.dvc"
SCP = re.compile(r"^(?P<login>[\w.-]+@[\w.-]+):/?(?P<path>.+)$")
DVC_SECONDS = 900
"""How long the DVC remote may take to say what it has."""

BY_HAND = "Or name other data: -p data_source=ADDRESS -p data_version=COMMIT."


def on_this_machine(here: ProjectFolders, params: Params) -> tuple[str, str]:
    """The profile's folder of official trees, and what ``data.dvc`` says of it.

    Raises:
        ConfigError: if there is no such folder.
    """
    folder = here.data(params.profile)
    if not folder.is_dir():
        raise ConfigError(
            f"no data in {folder}.", "Bring them: dvc pull (or name others: -p data_source=FOLDER)."
        )
    digest = data_digest(here.home)
    return str(folder), "a folder" if digest == UNKNOWN else digest


def for_a_cluster(home: Path) -> tuple[str, str]:
    """The repository's address and its HEAD, once pods can fetch there what ``data.dvc`` names.

    Nobody is asked: what git knows of the remote from the last push or fetch counts.

    Raises:
        ConfigError: if ``data.dvc`` differs from HEAD, HEAD was not pushed, or pods cannot reach
            the remote's address.
    """
    head = _git(home, "rev-parse", "HEAD")
    if head is None:
        reason, fix = commit_unknown_reason(home)
        raise ConfigError(f"{reason}; pods read the code's commit.", f"{fix} {BY_HAND}")
    if _git(home, "cat-file", "-e", f"HEAD:{POINTER}") is None:
        raise ConfigError(f"{POINTER} is not in the commit {head[:12]}.", f"Commit it. {BY_HAND}")
    watched = [POINTER, ".dvc/config", *_own_remotes(home)]
    changed = _git(home, "status", "--porcelain", "--", *watched)
    if changed:
        names = ", ".join(sorted({line.strip().split(" ", 1)[1] for line in changed.splitlines()}))
        raise ConfigError(
            f"not as committed: {names}.",
            "The pods read the commit: git commit and push it first (dvc push, too).",
        )
    remote = _remote(home)
    if not _git(home, "branch", "--remotes", "--contains", head, "--list", f"{remote}/*"):
        raise ConfigError(
            f"the commit {head[:12]} is not on the git remote {remote}.", f"git push. {BY_HAND}"
        )
    return public_address(_git(home, "remote", "get-url", remote) or "", remote), head


def check_pushed(home: Path) -> None:
    """Ask the DVC remote whether it has what ``data.dvc`` names.

    Raises:
        ConfigError: if it lacks something, or cannot be asked.
    """
    command = [sys.executable, "-m", "dvc", "status", "--cloud", "--json", POINTER]
    said = f"no answer within {DVC_SECONDS} s"
    try:
        done = subprocess.run(
            command,
            cwd=home,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=DVC_SECONDS,
        )
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        told = json.loads(done.stdout.strip().splitlines()[-1])
        if not isinstance(told, dict):
            raise ValueError
    except (ValueError, IndexError, RecursionError, subprocess.TimeoutExpired):
        raise ConfigError(
            f"the DVC remote could not be asked: {said}",
            "Check the remote and its credentials with: dvc status --cloud",
        ) from None
    lacking = sorted(path for path, state in told.items() if state in ("new", "missing"))
    if lacking:
        raise ConfigError(
            f"the DVC remote lacks {len(lacking)} of the files that {POINTER} names, "
            f"{lacking[0]} is one.",
            "dvc push, then submit again.",
        )


def public_address(url: str, remote: str = "origin") -> str:
    """A git address as pods may be told it: without a password, and never a folder of this machine.

    >>> public_address("git@example.org:lab/dgunet.git")
    'ssh://git@example.org/lab/dgunet.git'
    >>> public_address("https://me:secret@example.org/dgunet.git")
    'https://example.org/dgunet.git'

    Raises:
        ConfigError: for a folder.
    """
    if found := SCP.match(url):
        return f"ssh://{found['login']}/{found['path']}"
    with suppress(ValueError):  # for a broken address or port
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ssh", "git", "git+ssh") and parts.hostname:
            login = f"{parts.username}@" if parts.username and "ssh" in parts.scheme else ""
            port = f":{parts.port}" if parts.port else ""
            return urlunsplit(parts._replace(netloc=f"{login}{parts.hostname}{port}"))
    raise ConfigError(
        f"the git remote {remote} is {shorten(redact(url))}, which no pod can reach.", BY_HAND
    )


def _remote(home: Path) -> str:
    """The remote that the branch follows, else ``origin``, else the only one."""
    upstream = _git(home, "rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}")
    names = (_git(home, "remote") or "").split()
    if upstream and (name := upstream.partition("/")[0]) in names:
        return name
    if "origin" in names:
        return "origin"
    if len(names) == 1:
        return names[0]
    told = ", ".join(names) or "there is none"
    raise ConfigError(f"no git remote to name as the data's source ({told}).", BY_HAND)


def _own_remotes(home: Path) -> list[str]:
    """DVC remotes that are folders of the repository itself: they travel with the commit."""
    config = configparser.ConfigParser(interpolation=None)
    # What cannot be read is not as committed, and that is said.
    with suppress(configparser.Error, ConfigError, FileNotFoundError):
        config.read_string(read_text(home / ".dvc" / "config", kind=ConfigError))
    found = []
    for section in config.sections():
        url = config[section].get("url", "")
        if "remote" in section and url and "://" not in url:
            place = (home / ".dvc" / url).resolve()
            if place.is_relative_to(home.resolve()):
                found.append(place.relative_to(home.resolve()).as_posix())
    return found


def _git(home: Path, *arguments: str) -> str | None:
    return git_output(home, *arguments, seconds=30)
