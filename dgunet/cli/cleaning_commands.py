"""The verb that shows and removes what killed processes left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this module's verb to ``app``."""
    app.command()(clean)


def clean(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="further folders to look in, such as a --root or --out elsewhere"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove what dead processes left")] = False,
    unfinished: Annotated[
        bool,
        typer.Option(
            "--unfinished", help="with --yes: also what the next run of a step would go on from"
        ),
    ] = False,
    kept: Annotated[
        bool, typer.Option("--kept", help="with --yes: also journals that were set aside")
    ] = False,
) -> None:
    """List what is no result: half-made files and folders, unfinished work, set-aside journals.

    Each step removes what its own dead predecessors left, so this is for the rest. Without --yes
    nothing is removed; what a living process makes is never removed. What another machine or
    container makes counts as left behind after a day without a change.

    Example: dgunet clean
    Example: dgunet clean --yes
    Example: dgunet clean /data/paper --yes --unfinished
    """
    from dgunet.project import Layout
    from dgunet.system.errors import DataError
    from dgunet.tools.cleaning import MEANINGS, Kind, survey
    from dgunet.tools.cleaning import clean as remove

    home = Layout.here().home
    for folder in folders or []:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder.", "Name an existing folder.")
    found = survey(home, *(folders or []))
    wanted: set[Kind] = {"dead"}
    wanted |= {"unfinished"} if unfinished else set()
    wanted |= {"kept"} if kept else set()
    for kind, meaning in MEANINGS.items():
        ours = [one for one in found if one.kind == kind]
        if ours:
            typer.echo(f"{kind}: {meaning}")
        for one in ours:
            shown = one.path.relative_to(home) if one.path.is_relative_to(home) else one.path
            typer.echo(f"  {_size(one.bytes):>9}  {shown}")
    going = [one for one in found if one.kind in wanted]
    if not going:
        typer.echo("nothing to remove")
    elif not yes:
        total = _size(sum(one.bytes for one in going))
        typer.echo(f"{len(going)} to remove, {total}: add --yes")
    else:
        left = {one.path for one in remove(going, frozenset(wanted))}
        typer.echo(f"removed {len(going) - len(left)}")
        if left:
            first = min(left)
            raise DataError(
                f"{len(left)} could not be removed, first {first}.", "Check the folder's rights."
            )


def _size(count: int) -> str:
    """``count`` bytes as people read them."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
