"""``dgunet calibrate``: measure what this machine sustains, for the plans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dgunet.cli import completion


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command()(calibrate)


def calibrate(
    out: Annotated[Path, typer.Option(help="file to write")] = Path("machine.json"),
    seconds: Annotated[float, typer.Option(help="longest duration", min=0.1, max=3_600)] = 60.0,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda", autocompletion=completion.devices)
    ] = "auto",
    threads: Annotated[
        int, typer.Option(help="CPU threads; 0: as many as allowed", min=0, max=1_024)
    ] = 0,
) -> None:
    """Measure this machine's rate in evaluations and in trainings, and keep both in a file.

    Real passes and real optimiser steps of deraining DGUNet run on noise, in float32 without TF32.
    `dgunet pipeline plan` and `dgunet campaign --plan` use the file with --calibration, instead of
    an assumed rate. Run it on a node of the cluster; deploy/calibrate.yaml is a pod for that.

    Example: dgunet calibrate --seconds 10 --out machine.json
    """
    from dgunet.costs import calibration

    machine = calibration.calibrate(seconds, device=device, threads=threads)
    calibration.write_calibration(out, machine)
    typer.echo(f"{machine.name}: {machine.assumption}")
    typer.echo(str(out))
