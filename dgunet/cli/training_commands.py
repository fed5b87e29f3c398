"""``dgunet recipe``: print a training of the paper or the authors' code, its cost and settings."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion

if TYPE_CHECKING:
    from dgunet.config import ValidationSettings
    from dgunet.costs.machines import Machine
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
    task: Annotated[
        str, typer.Argument(help="derain, deblur, denoise or cs", autocompletion=completion.tasks)
    ],
    variant: Annotated[
        str, typer.Option(help="DGUNet or DGUNet+", autocompletion=completion.variants)
    ] = "DGUNet",
    ratio: Annotated[
        int | None,
        typer.Option(
            help="with cs: percent of measurements, 1 4 10 25 50", autocompletion=completion.ratios
        ),
    ] = None,
    step: Annotated[
        int, typer.Option(help="with released cs: 1 from scratch, 2 from the weights of step 1")
    ] = 1,
    gpus: Annotated[int, typer.Option(min=1, max=1_000_000, help="number of GPUs")] = 8,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="model of the GPUs: V100, A100, H100 or H200",
            show_default="all four",
            autocompletion=completion.gpus,
        ),
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1e6,
            help="instead of --gpu: TFLOP/s that a GPU sustains in float32",
            show_default="for each model the share of its peak that the authors' GPUs sustained",
        ),
    ] = None,
) -> None:
    """Print a training of the paper or of its released code: cost, published PSNR and settings.

    The settings are printed as YAML to copy to params.yaml. Operations follow from the network;
    each duration is followed by the rate that it assumes.

    Example: dgunet recipe released derain --variant DGUNet+ --gpu A100 --gpus 4

    Example: dgunet recipe released cs --ratio 10 --step 2
    """
    import yaml

    from dgunet.costs.machines import chosen_machines
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
    if gpus > made.training.batch:
        raise ConfigError(
            f"{gpus} GPUs for a batch of {made.training.batch}.",
            f"Use --gpus {made.training.batch} or fewer; a GPU needs at least one sample.",
        )
    typer.echo(recipe_header(made, chosen_machines(gpu, tflops), gpus))
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


def recipe_header(recipe: Recipe, machines: Sequence[Machine], gpus: int = 8) -> str:
    """Name, length, cost, selected weights and published PSNR of a recipe, one per line."""
    from dgunet.costs.text import logged_line, training_lines
    from dgunet.costs.training_cost import training_cost
    from dgunet.paper.expected import expected

    network, training = recipe.network, recipe.training
    ratio = "" if network.ratio is None else f" {network.ratio} %"
    step = "" if recipe.step == 1 else f", step {recipe.step}"
    published = expected(network.task, network.variant, network.ratio)
    return "\n".join(
        [
            f"{recipe.name}: {network.task}{ratio} {network.variant}{step}",
            f"steps: {training.iterations:,} of {training.batch} x {training.patch} x "
            f"{training.patch}, {_epochs(recipe)}",
            *training_lines(training_cost(network, training), machines, gpus),
            logged_line(recipe),
            "weights: " + _selected_weights(training.validation),
            "the paper's PSNR: " + ", ".join(f"{s} {v} dB" for s, v in published.items()),
        ]
    )


def _epochs(recipe: Recipe) -> str:
    validation = recipe.training.validation
    text = f"{recipe.epochs:.1f} epochs of {recipe.samples:,}"
    if validation is None or not validation.fraction:
        return text
    left = f"{100 * (1 - validation.fraction):g} % that are not held out"
    return f"{text} ({recipe.epochs_not_held_out:.1f} of the {left})"


def _selected_weights(validation: ValidationSettings | None) -> str:
    if validation is None:
        return "those of the last step"
    share = f"{100 * validation.fraction:g} % of the photographs, held out"
    return f"the best on {validation.test_set or share}"
