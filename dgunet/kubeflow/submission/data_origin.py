"""The data of a pipeline run: a pushed commit, or a folder of this machine."""

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
"""Time limit of `dvc status --cloud`, seconds."""

OTHER_DATA = "Or give other data: -p data_source=ADDRESS -p data_version=COMMIT."


def local_data(here: ProjectFolders, params: Params) -> tuple[str, str]:
    """The profile's data folder, and its version from ``data.dvc``.

    Raises:
        ConfigError: if the folder does not exist.
    """
    folder = here.data(params.profile)
    if not folder.is_dir():
        raise ConfigError(
            f"no data in {folder}.", "Run dvc pull, or give other data: -p data_source=FOLDER."
        )
    digest = data_digest(here.home)
    return str(folder), "a folder" if digest == UNKNOWN else digest


def pushed_data(home: Path) -> tuple[str, str]:
    """The repository's address and HEAD commit, where pods find the data of ``data.dvc``.

    Nothing is sent over the network: the state of the remote is that of the last push or fetch.

    Raises:
        ConfigError: if ``data.dvc`` differs from HEAD, HEAD was not pushed, or the remote is a
            folder of this machine.
    """
    head = _git(home, "rev-parse", "HEAD")
    if head is None:
        reason, fix = commit_unknown_reason(home)
        raise ConfigError(
            f"{reason}; pods read the data at the commit of the code.", f"{fix} {OTHER_DATA}"
        )
    if _git(home, "cat-file", "-e", f"HEAD:{POINTER}") is None:
        raise ConfigError(
            f"{POINTER} is not in the commit {head[:12]}.", f"Commit it. {OTHER_DATA}"
        )
    checked = [POINTER, ".dvc/config", *_own_remotes(home)]
    changed = _git(home, "status", "--porcelain", "--", *checked)
    if changed:
        names = ", ".join(sorted({line.strip().split(" ", 1)[1] for line in changed.splitlines()}))
        raise ConfigError(
            f"files differ from the commit: {names}.",
            "Pods read the commit: git commit and push these files first, and run dvc push.",
        )
    remote = _remote(home)
    if not _git(home, "branch", "--remotes", "--contains", head, "--list", f"{remote}/*"):
        raise ConfigError(
            f"the commit {head[:12]} is not on the git remote {remote}.",
            f"Run git push. {OTHER_DATA}",
        )
    return public_address(_git(home, "remote", "get-url", remote) or "", remote), head


def check_pushed(home: Path) -> None:
    """Check that the DVC remote has all files of ``data.dvc``.

    Raises:
        ConfigError: if files are missing, or the remote does not respond.
    """
    command = [sys.executable, "-m", "dvc", "status", "--cloud", "--json", POINTER]
    message = f"no response within {DVC_SECONDS} s"
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
        message = (done.stderr.strip().splitlines() or ["no output"])[-1]
        states = json.loads(done.stdout.strip().splitlines()[-1])
        if not isinstance(states, dict):
            raise ValueError
    except (ValueError, IndexError, RecursionError, subprocess.TimeoutExpired):
        raise ConfigError(
            f"the state of the DVC remote is unknown: {message}",
            "Check the remote and its credentials with: dvc status --cloud",
        ) from None
    missing = sorted(path for path, state in states.items() if state in ("new", "missing"))
    if missing:
        raise ConfigError(
            f"the DVC remote lacks {len(missing)} of the files in {POINTER}, e.g. {missing[0]}.",
            "Run dvc push, then submit again.",
        )


def public_address(url: str, remote: str = "origin") -> str:
    """A git address for pods: without a password, and not a folder of this machine.

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
        f"the git remote {remote} is {shorten(redact(url))}, which no pod can reach.", OTHER_DATA
    )


def _remote(home: Path) -> str:
    """The branch's upstream remote, else ``origin``, else the only one."""
    upstream = _git(home, "rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}")
    names = (_git(home, "remote") or "").split()
    if upstream and (name := upstream.partition("/")[0]) in names:
        return name
    if "origin" in names:
        return "origin"
    if len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    raise ConfigError(f"no git remote to use as the data source (remotes: {known}).", OTHER_DATA)


def _own_remotes(home: Path) -> list[str]:
    """DVC remotes that are folders of the repository, and so part of the commit."""
    config = configparser.ConfigParser(interpolation=None)
    # An unreadable file differs from the commit, which is reported.
    with suppress(configparser.Error, ConfigError, FileNotFoundError):
        config.read_string(read_text(home / ".dvc" / "config", kind=ConfigError))
    found = []
    for section in config.sections():
        url = config[section].get("url", "")
        if "remote" in section and url and "://" not in url:
            folder = (home / ".dvc" / url).resolve()
            if folder.is_relative_to(home.resolve()):
                found.append(folder.relative_to(home.resolve()).as_posix())
    return found


def _git(home: Path, *arguments: str) -> str | None:
    return git_output(home, *arguments, seconds=30)
