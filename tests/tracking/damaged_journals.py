"""Undelivered journals for tests, and the ways in which they are damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from dgunet.cli.tracking_commands import tracking
from dgunet.system import line_files
from dgunet.tracking import TrackingFolders, start_run

TAGS = {"stage": "evaluate", "profile": "sample"}


def leave_journal(name: str, project: TrackingFolders, *, files: bool = False) -> Path:
    """Write a journal that is not delivered; return its folder."""
    with start_run("dgunet/x", name, tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_metrics({"loss": 0.5}, step=2)
        if files:
            run.log_artifact(project.home / "params.yaml")
            run.log_metrics({"loss": 0.25}, step=3)
        run.set_result(checkpoint=f"c0ffee{name}")
    return project.journals / run.journal_id


def run_command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(tracking, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def change_line(folder: Path, number: int, change: Callable[[bytes], bytes]) -> None:
    """Apply ``change`` to one line of the events."""
    path = folder / "events.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    whole[number] = change(whole[number])
    path.write_bytes(b"".join(whole))


def change_event(journal: Path, number: int, **change: Any) -> None:
    """Change fields of an event and recompute its checksum; None removes a field."""

    def again(line: bytes) -> bytes:
        event = line_files.parse_line(line.rstrip(b"\n")) | change
        return line_files.format_line({key: one for key, one in event.items() if one is not None})

    change_line(journal, number, again)


def change_header(folder: Path, **change: Any) -> None:
    path = folder / "header.json"
    header = line_files.parse_line(path.read_bytes().rstrip(b"\n")) | change
    path.write_bytes(line_files.format_line(header))


def write_file(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def duplicate_line(folder: Path) -> None:
    path = folder / "events.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole[:2], whole[1], *whole[2:]]))


def drop_line(folder: Path) -> None:
    path = folder / "events.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([whole[0], *whole[2:]]))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "header missing": lambda folder: (folder / "header.json").unlink(),
    "header empty": write_file("header.json", b""),
    "header torn": lambda f: os.truncate(f / "header.json", 40),
    "header no JSON": write_file("header.json", b"\xff\xfe\x00{"),
    "header a list": write_file("header.json", b"[1, 2]"),
    "header nested": write_file("header.json", b"[" * 100_000),
    "header a folder": lambda f: ((f / "header.json").unlink(), (f / "header.json").mkdir()),
    "header a pipe": lambda f: ((f / "header.json").unlink(), os.mkfifo(f / "header.json")),
    "header edited": lambda f: (f / "header.json").write_bytes(
        (f / "header.json").read_bytes().replace(b"dgunet/x", b"dgunet/y")
    ),
    "header without name": write_file("header.json", b'{"journal": "x"}'),
    "name a number": lambda f: change_header(f, name=5),
    "tags a list": lambda f: change_header(f, tags=["a"]),
    "a tag a number": lambda f: change_header(f, tags={"a": 1}),
    "start a text": lambda f: change_header(f, start="yesterday"),
    "adopt a list": lambda f: change_header(f, adopt=[]),
    "another's header": lambda f: change_header(f, journal="20200101T000000.000000-00000000"),
    "blank line": lambda f: change_line(f, 1, lambda _: b"\n"),
    "torn line in the middle": lambda f: change_line(f, 2, lambda line: line[:20] + b"\n"),
    "NULs": lambda f: change_line(f, 1, lambda line: b"\0" * (len(line) - 1) + b"\n"),
    "bad UTF-8": lambda f: change_line(f, 2, lambda line: line.replace(b"loss", b"l\xffss")),
    "edited number": lambda f: change_line(f, 2, lambda line: line.replace(b"1.0", b"9.0")),
    "line without its sum": lambda f: change_line(
        f, 1, lambda line: line.split(b', "sum"')[0] + b"}\n"
    ),
    "line twice": duplicate_line,
    "line gone": drop_line,
    "events missing": lambda f: (f / "events.jsonl").unlink(),
    "events a folder": lambda f: ((f / "events.jsonl").unlink(), (f / "events.jsonl").mkdir()),
    "bytes after the end": lambda f: (f / "events.jsonl").open("ab").write(b"{"),
    "no kind": lambda f: change_event(f, 1, kind=None),
    "unknown kind": lambda f: change_event(f, 1, kind="poem"),
    "kind a list": lambda f: change_event(f, 1, kind=[]),
    "no time": lambda f: change_event(f, 1, time=None),
    "time a text": lambda f: change_event(f, 1, time="now"),
    "time too large": lambda f: change_event(f, 1, time=2**70),
    "values a list": lambda f: change_event(f, 2, values=[1]),
    "value a text": lambda f: change_event(f, 2, values={"loss": "low"}),
    "value too large": lambda f: change_event(f, 2, values={"loss": 10**400}),
    "step true": lambda f: change_event(f, 2, step=True),
    "a second end": lambda f: change_event(f, 1, kind="end", status="FINISHED"),
    "unknown status": lambda f: change_event(f, -1, status="WONDERFUL"),
    "file outside": lambda f: change_event(f, 1, kind="artifact", file="../../x", folder=""),
    "file a link that leads out": lambda f: (
        change_event(f, 1, kind="artifact", file="artifacts/x", folder=""),
        (f / "artifacts/x").symlink_to("/etc/passwd"),
    ),
    "file absolute": lambda f: change_event(f, 1, kind="artifact", file="/etc/passwd", folder=""),
}
