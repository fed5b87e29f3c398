"""``dgunet reduced-run``: the trainings and evaluations on which the paper's claims are tested."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SEEDS = 5
"""Trainings of each network, unless the user says otherwise."""


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command("reduced-run")(reduced_run)


def reduced_run(
    root: Annotated[
        Path | None,
        typer.Option(help="folder of the original datasets", show_default="data/paper"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=99, help="trainings of each network")] = SEEDS,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="trainings at once, each with one thread")
    ] = 2,
    hours: Annotated[
        float | None, typer.Option(min=0, help="stop after this time; the same command goes on")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="list the steps; nothing is done")] = False,
) -> None:
    """Train and evaluate small networks on the original test sets, to test the paper's claims.

    DGUNet, DGUNet+ and the nine ablations for deraining, DGUNet and DGUNet+ for compressive sensing
    at 4 and 10 %, several times each, with the settings `reduced` of params.yaml. Hours on two CPU
    cores. It can be stopped at any time; finished steps are kept, and a stopped training resumes.

    Needs Rain100L, Rain100H, Set11, BSD68, BSD400 and the first 40 pairs of Rain13K, which are
    copied to build/reduced. The results are not comparable to the paper's tables.

    Example: dgunet reduced-run --plan

    Example: dgunet reduced-run --root ~/datasets --hours 2
    """
    from dgunet.project import ProjectFolders
    from dgunet.tools.reduced_run import ReducedRun, run_steps

    here = ProjectFolders.here()
    wanted = ReducedRun(here, range(1, seeds + 1))
    steps = wanted.steps()
    if plan:
        for step in steps:
            typer.echo(f"{'done' if step.done else 'open':5}{step.name}")
        return
    wanted.write_inputs(root or here.data("paper"))
    seconds = None if hours is None else 3600 * hours
    complete = run_steps(steps, processes=processes, seconds=seconds, report=typer.echo)
    if not complete:
        left = sum(not step.done for step in steps)
        typer.echo(f"stopped: {left} of {len(steps)} steps are left; the same command goes on")
        raise typer.Exit(75)
    folders = " ".join(str(wanted.place(seed).build) for seed in wanted.seeds)
    typer.echo(
        f"done; the paper's claims on it:\n  dgunet claims {folders}\n"
        f"its sealed results, without images:\n  dgunet bundle {folders} --out reduced-results"
    )
