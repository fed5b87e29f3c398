"""``dgunet verify``: whether results are as they were made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dgunet.project import ProjectFolders
    from dgunet.steps.verifying import Verdict


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command("verify")(verify)


def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="folders of results, at any depth, or pages of reports", show_default="build"
        ),
    ] = None,
    seal: Annotated[
        bool,
        typer.Option("--seal", help="seal results without a seal, if nothing else is wrong"),
    ] = False,
) -> None:
    """Verify that results were not edited: prepared sets, evaluations, tables, reports.

    Reads every byte again: seals (SHA256SUMS), digests of pixels, means of the per-image rows, and
    the cells of tables, computed again from the evaluations. Prints one line for each result, and
    what is wrong with it; the exit status is then 1.

    It compares results with themselves. `dgunet report --verify` compares the scores with those of
    the commit, `dgunet drift` those of two machines.

    Example: dgunet verify

    Example: dgunet verify build/evaluation build/tables

    Example: dgunet verify --seal build/prepared
    """
    from dgunet.cli.progress_bar import parts_bar
    from dgunet.steps.result_search import find_all_results
    from dgunet.steps.verifying import Verifier
    from dgunet.system.errors import DataError

    here = _project(needed=not paths)
    wanted = list(paths or [here.build] if here else paths or [])
    found = find_all_results(wanted)
    if not found.results:
        listed = ", ".join(map(str, wanted))
        raise DataError(f"there are no results in {listed}.", "`dvc repro` makes all results.")
    verifier, verdicts = Verifier(here, seal), []
    with parts_bar(len(found.results)) as bar:
        for each in found.results:
            bar.begin(each.path.name)
            verdicts.append(verifier.verify(each, bar.done))
            for line in _lines(verdicts[-1]):
                bar.say(line)
        bar.done(1.0)
    failed = sum(bool(verdict.faults) for verdict in verdicts)
    if found.others:
        typer.echo(
            f"not verified: {len(found.others)} files of no result, e.g. {_shown(found.others[0])};"
            " `dvc status` compares outputs of stages with dvc.lock"
        )
    typer.echo(f"{len(verdicts)} results: {len(verdicts) - failed} unchanged, {failed} failed")
    if failed:
        raise typer.Exit(1)


def _project(*, needed: bool) -> ProjectFolders | None:
    """The project with its weights; None outside of one, unless it is needed."""
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import DgunetError

    try:
        here = ProjectFolders.here()
        return here.using(load_params(here.params).weights)
    except DgunetError:
        if needed:
            raise
        return None


def _lines(verdict: Verdict) -> list[str]:
    """The line of a result, and two more for each fault: what is wrong, and how to mend it."""
    state = "FAILED" if verdict.faults else "sealed" if verdict.newly_sealed else "ok"
    facts = f"  {verdict.facts}" if verdict.facts else ""
    lines = [f"{state:6}  {verdict.found.kind:10}  {_shown(verdict.found.path)}{facts}"]
    for fault in verdict.faults:
        lines.append(f"        {fault.what}")
    for mend in dict.fromkeys(fault.mend for fault in verdict.faults):
        lines.append(f"        -> {mend}")
    return lines


def _shown(path: Path) -> Path:
    """``path``, relative to the working directory if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
