"""The verb that prints a recipe: what it does, what it costs, and how to use it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Origin(StrEnum):
    """Recipes of `dgunet.recipes.trainings`."""

    paper = "paper"
    released = "released"


def register(app: typer.Typer) -> None:
    """Add this module's verb to ``app``."""
    app.command("recipe")(recipe)


def recipe(
    origin: Annotated[Origin, typer.Argument(help="as printed, or as the authors' code trains")],
    task: Annotated[str, typer.Argument(help="derain, deblur, denoise or cs")],
    variant: Annotated[str, typer.Option(help="DGUNet or DGUNet+")] = "DGUNet",
    ratio: Annotated[
        int | None, typer.Option(help="with cs: percent of measurements, 1 4 10 25 50")
    ] = None,
    step: Annotated[
        int, typer.Option(help="with released cs: 1 from scratch, 2 from the first's weights")
    ] = 1,
    gpus: Annotated[int, typer.Option(min=1, max=1_000_000, help="to share the work")] = 8,
    tflops: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1e6, help="TFLOP/s that a GPU sustains; without: the authors' GPUs"
        ),
    ] = None,
) -> None:
    """Print a training of the paper or of its released code: cost, aim, and knobs to paste.

    Example: dgunet recipe released derain --variant DGUNet+ --gpus 4
    Example: dgunet recipe released cs --ratio 10 --step 2
    """
    import yaml

    from dgunet.recipes.trainings import paper, released
    from dgunet.system.errors import ConfigError
    from dgunet.terms import check_task

    check_task(task)
    if task == "cs" and ratio is None:
        raise ConfigError("a recipe of cs without a ratio.", "Add --ratio 1, 4, 10, 25 or 50.")
    if origin is Origin.paper and step != 1:
        raise ConfigError(f"step {step} of a paper recipe.", "Only released cs has two steps.")
    if origin is Origin.paper:
        made = paper(task, variant, ratio=ratio)
    else:
        made = released(task, variant, ratio=ratio, step=step)
    typer.echo(made.header(gpus, None if tflops is None else tflops * 1e12))
    for missing in made.not_built:
        typer.echo(f"not built: {missing}")
    typer.echo("\n# in params.yaml, under <profile>.train:")
    typer.echo(yaml.safe_dump({task: made.knobs()}, sort_keys=False), nl=False)
    architecture = "paper" if origin is Origin.paper else "released"
    typer.echo(f"# and at its top: {{architecture: {architecture}}}, as counted above")
    if made.network.proximal_domain == "block":
        typer.echo("# and under <profile>.network: {proximal_domain: block}, for its validation")
    if made.step == 2:
        typer.echo("# begin with the first step's weights: dgunet train cs ... --start FILE")
