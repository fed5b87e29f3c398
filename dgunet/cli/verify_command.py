"""``dgunet verify``: whether results are as they were made."""

from __future__ import annotations

from collections.abc import Sequence
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
            help="folders of results, at any depth, pages of reports, or bundles (also .zip)",
            show_default="build",
        ),
    ] = None,
    seal: Annotated[
        bool,
        typer.Option("--seal", help="seal results without a seal, if nothing else is wrong"),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUBLIC", help="public key that must have signed the bundles"),
    ] = None,
    restored: Annotated[
        Path | None,
        typer.Option(help="restored images of a bundle of scores: score them again"),
    ] = None,
    targets: Annotated[Path | None, typer.Option(help="with --restored: their targets")] = None,
) -> None:
    """Verify that results were not edited: prepared sets, evaluations, tables, reports, bundles.

    Reads every byte again: seals (SHA256SUMS), digests of pixels, means of the per-image rows, and
    the cells of tables, computed again from the evaluations. Prints one line for each result, and
    what is wrong with it; the exit status is then 1.

    It compares results with themselves. `dgunet report --verify` compares the scores with those of
    the commit, `dgunet drift` those of two machines.

    Example: dgunet verify

    Example: dgunet verify build/evaluation build/tables

    Example: dgunet verify --seal build/prepared

    Example: dgunet verify results.zip --key key.pub.pem
    """
    bundles, others = _bundles(paths or [])
    if bundles or key or restored or targets:
        failed = _verify_bundles(bundles, others, key, restored, targets)
        if failed:
            raise typer.Exit(1)
        if not others:
            return
    _verify_results(others, seal)


def _verify_results(paths: list[Path], seal: bool) -> None:
    """Verify the results in ``paths``, or all in ``build``."""
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
    sealed = [each for each in found.results if each.kind == "folder"]
    bundles = [each for each in sealed if (each.path / "bundle.json").is_file()]
    verifier, verdicts = Verifier(here, seal), []
    with parts_bar(len(found.results)) as bar:
        for each in found.results:
            if each in bundles:
                continue
            bar.begin(each.path.name)
            verdicts.append(verifier.verify(each, bar.done))
            for line in _lines(verdicts[-1]):
                bar.say(line)
        bar.done(1.0)
    failed = sum(bool(verdict.faults) for verdict in verdicts)
    failed_bundles = _verify_bundles([each.path for each in bundles]) if bundles else 0
    if found.others:
        typer.echo(
            f"not verified: {len(found.others)} files of no result, e.g. {_shown(found.others[0])};"
            " `dvc status` compares outputs of stages with dvc.lock"
        )
    typer.echo(f"{len(verdicts)} results: {len(verdicts) - failed} unchanged, {failed} failed")
    if failed or failed_bundles:
        raise typer.Exit(1)


def _bundles(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The bundles in ``paths``, and the other paths."""
    if not paths:
        return [], []
    from dgunet.tools.bundles.checking import is_bundle

    bundles = [path for path in paths if is_bundle(path)]
    return bundles, [path for path in paths if path not in bundles]


def _verify_bundles(
    bundles: list[Path],
    others: Sequence[Path] = (),
    key: Path | None = None,
    restored: Path | None = None,
    targets: Path | None = None,
) -> int:
    """Verify bundles and print what was found; return how many failed."""
    from dgunet.system.errors import ConfigError
    from dgunet.system.terminal import printable
    from dgunet.tools.bundles.checking import check_bundle, read_public_key
    from dgunet.tools.bundles.rescoring import ScoredImages

    if not bundles or (others and (key or restored or targets)):
        raise ConfigError(
            "--key, --restored and --targets are for bundles.",
            "Name bundles, and no other results.",
        )
    if (restored is None) != (targets is None):
        raise ConfigError("--restored and --targets belong together.", "Give both or neither.")
    rescore = ScoredImages(restored, targets) if restored and targets else None
    public = read_public_key(key) if key else None
    failed = 0
    for path in bundles:
        verdict = check_bundle(path, key=public, rescore=rescore)
        failed += bool(verdict.faults)
        typer.echo(f"{'FAILED' if verdict.faults else 'ok':6}  bundle      {_shown(path)}")
        for fact in verdict.facts:
            typer.echo(f"        {printable(fact)}")
        for fault in verdict.faults:
            typer.echo(f"        WRONG: {printable(fault)}")
    return failed


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
