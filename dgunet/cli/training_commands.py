"""``dgunet recipe``: print a training of the paper or the authors' code, its cost and settings."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dgunet.config import ValidationSettings
    from dgunet.recipes.trainings import Recipe


class Origin(StrEnum):
    """The recipes of `dgunet.recipes.trainings`."""

    paper = "paper"
    released = "released"


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command("recipe")(recipe)


def recipe(
    origin: Annotated[Origin, typer.Argument(help="the paper's text, or the authors' code")],
    task: Annotated[str, typer.Argument(help="derain, deblur, denoise or cs")],
    variant: Annotated[str, typer.Option(help="DGUNet or DGUNet+")] = "DGUNet",
    ratio: Annotated[
        int | None, typer.Option(help="with cs: percent of measurements, 1 4 10 25 50")
    ] = None,
    step: Annotated[
        int, typer.Option(help="with released cs: 1 from scratch, 2 from the weights of step 1")
    ] = 1,
    gpus: Annotated[int, typer.Option(min=1, max=1_000_000, help="number of GPUs")] = 8,
    tflops: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1e6,
            help="TFLOP/s that a GPU sustains",
            show_default="the rate in the authors' log",
        ),
    ] = None,
) -> None:
    """Print a training of the paper or of its released code: cost, published PSNR and settings.

    The settings are printed as YAML to copy to params.yaml.

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
    typer.echo(recipe_header(made, gpus, None if tflops is None else tflops * 1e12))
    for missing in made.not_built:
        typer.echo(f"not built: {missing}")
    typer.echo("\n# in params.yaml, under <profile>.train:")
    typer.echo(yaml.safe_dump({task: made.params_entry()}, sort_keys=False), nl=False)
    architecture = "paper" if origin is Origin.paper else "released"
    typer.echo(f"# and at its top: {{architecture: {architecture}}}, as counted above")
    if made.network.proximal_domain == "block":
        typer.echo("# and under <profile>.network: {proximal_domain: block}, for its validation")
    if made.step == 2:
        typer.echo("# begin with the first step's weights: dgunet train cs ... --start FILE")


def recipe_header(recipe: Recipe, gpus: int = 8, flops_per_second: float | None = None) -> str:
    """Name, length, cost, selected weights and published PSNR of a recipe, one per line."""
    from dgunet.paper.expected import expected
    from dgunet.recipes.trainings import logged_rate

    network, training = recipe.network, recipe.training
    ratio = "" if network.ratio is None else f" {network.ratio} %"
    step = "" if recipe.step == 1 else f", step {recipe.step}"
    published = expected(network.task, network.variant, network.ratio)
    rate = flops_per_second or logged_rate()
    source = "given" if flops_per_second else "the authors' log"
    return "\n".join(
        [
            f"{recipe.name}: {network.task}{ratio} {network.variant}{step}",
            f"steps: {training.iterations:,} of {training.batch} x {training.patch} x "
            f"{training.patch}, {recipe.epochs:.1f} epochs of {recipe.samples:,}",
            f"cost: {recipe.flops / 1e18:.3g} EFLOP, {recipe.hours(gpus, rate):,.0f} hours on "
            f"{gpus} GPUs of {rate / 1e12:.3g} TFLOP/s each ({source})",
            "weights: " + _selected_weights(training.validation),
            "the paper's PSNR: " + ", ".join(f"{s} {v} dB" for s, v in published.items()),
        ]
    )


def _selected_weights(validation: ValidationSettings | None) -> str:
    if validation is None:
        return "those of the last step"
    share = f"{100 * validation.fraction:g} % of the photographs, held out"
    return f"the best on {validation.test_set or share}"
