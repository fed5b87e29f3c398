"""``dgunet clean``: list and remove what killed processes left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dgunet.tools.cleaning import Removable


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command()(clean)


def clean(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="further folders to search, e.g. a --root or --out outside the project"
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="remove the partial files of dead processes")
    ] = False,
    unfinished: Annotated[
        bool,
        typer.Option(
            "--unfinished", help="with --yes: also work that the next run of a step would continue"
        ),
    ] = False,
    kept: Annotated[
        bool, typer.Option("--kept", help="with --yes: also journals that were set aside")
    ] = False,
) -> None:
    """List partial files and folders, unfinished work and journals that were set aside.

    Without --yes nothing is removed. The files of a running process are never removed. Files of
    another machine or container count as abandoned after a day without a change.

    Example: dgunet clean

    Example: dgunet clean --yes

    Example: dgunet clean /data/paper --yes --unfinished
    """
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import DataError
    from dgunet.tools.cleaning import Kind, find_removable, remove_kinds

    home = ProjectFolders.here().home
    for folder in folders or []:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder.", "Name an existing folder.")
    found = find_removable(home, *(folders or []))
    wanted: set[Kind] = {"dead"}
    wanted |= {"unfinished"} if unfinished else set()
    wanted |= {"kept"} if kept else set()
    _print_found(found, home)
    selected = [one for one in found if one.kind in wanted]
    if not selected:
        typer.echo("nothing to remove")
    elif not yes:
        total = _size(sum(one.bytes for one in selected))
        typer.echo(f"{len(selected)} to remove, {total}: add --yes")
    else:
        left = {one.path for one in remove_kinds(selected, frozenset(wanted))}
        typer.echo(f"removed {len(selected) - len(left)}")
        if left:
            first = min(left)
            raise DataError(
                f"{len(left)} could not be removed, the first is {first}.",
                "Check the permissions of its folder.",
            )


def _print_found(found: list[Removable], home: Path) -> None:
    """Print the entries by kind, with their sizes; paths in ``home`` are shown relative to it."""
    from dgunet.tools.cleaning import MEANINGS

    for kind, meaning in MEANINGS.items():
        entries = [entry for entry in found if entry.kind == kind]
        if entries:
            typer.echo(f"{kind}: {meaning}")
        for entry in entries:
            path = entry.path
            shown = path.relative_to(home) if path.is_relative_to(home) else path
            typer.echo(f"  {_size(entry.bytes):>9}  {shown}")


def _size(count: int) -> str:
    """``count`` bytes with a decimal unit."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
