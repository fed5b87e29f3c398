"""``dgunet models``: MLflow's registered models, one a task, and what may be called the best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dgunet.tracking.registry import Registry

models = typer.Typer(
    name="models",
    help="MLflow's registered models, one a task: register, compare, promote.",
    no_args_is_help=True,
)

Task = Annotated[str, typer.Argument(help="derain, deblur, denoise or cs")]
RatioOption = Annotated[
    int | None,
    typer.Option(help="compressive sensing only: percent of measurements, 1 4 10 25 50"),
]
ProfileOption = Annotated[
    str, typer.Option(help="sample or paper [default: the one of params.yaml]")
]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to ``app``."""
    app.add_typer(models)


@models.command("list")
def list_models() -> None:
    """List registered models with their versions and aliases.

    Example: dgunet models list
    """
    from tabulate import tabulate

    registry = _registry()
    rows = [
        [
            version.name,
            version.number,
            " ".join(f"@{alias}" for alias in version.aliases),
            version.tags.get("variant", ""),
            version.checkpoint[:12],
        ]
        for name in registry.names()
        for version in registry.versions(name)
    ]
    headers = ["model", "version", "aliases", "variant", "weights"]
    typer.echo(tabulate(rows, headers, disable_numparse=True) if rows else "no registered models")


@models.command("register")
def register_model(
    task: Task,
    variant: Annotated[str, typer.Option(help="DGUNet or DGUNet+")] = "DGUNet",
    ratio: RatioOption = None,
    profile: ProfileOption = "",
) -> None:
    """Make the newest finished training a version of its task's model, alias @candidate.

    Example: dgunet models register derain

    Example: dgunet models register cs --ratio 10 --variant DGUNet+
    """
    from dgunet.tools.model_promotion import register

    made = register(_registry(), task, profile=profile or _profile(), variant=variant, ratio=ratio)
    typer.echo(f"{made.uri} @candidate: {variant}, weights {made.checkpoint[:12]}")


@models.command()
def promote(
    task: Task,
    ratio: RatioOption = None,
    version: Annotated[
        str | None,
        typer.Option(help="number of the version [default: @candidate]"),
    ] = None,
    profile: ProfileOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only.")] = False,
) -> None:
    """Call a version @best if its test sets say so; exit status 1 if they do not.

    Both versions' per-image tables are read from MLflow and compared pair by pair. @best moves
    when the interval of the mean PSNR difference lies above zero on a set and below zero on
    none. The first version must be better than the degraded images.

    Example: dgunet models promote derain --dry-run
    """
    from dgunet.tools import model_promotion as stage

    registry = _registry()
    name = stage.registered_name(task, profile or _profile(), ratio)
    outcome = stage.promote(registry, stage.find(registry, name, version), dry_run=dry_run)
    typer.echo(outcome.text())
    if not outcome.promoted:
        raise typer.Exit(1)
    typer.echo(f"{'would be' if dry_run else 'now'} @best: {outcome.version.uri}")


@models.command()
def official(
    weights: Annotated[Path, typer.Argument(help="made by `dgunet checkpoint import`")],
) -> None:
    """Log and register the authors' own weights, alias @official.

    Example: dgunet models official derain.safetensors
    """
    from dgunet.tools.model_promotion import add_official

    typer.echo(f"{add_official(_registry(), weights).uri} @official")


def _registry() -> Registry:
    from dgunet.tracking import Layout
    from dgunet.tracking.registry import Registry

    return Registry(Layout.at())


def _profile() -> str:
    from dgunet.config import load_params
    from dgunet.project import Layout

    return load_params(Layout.here().params).profile
