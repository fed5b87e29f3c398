"""``dgunet models``: MLflow's registered models, one per task, and their promotion to @best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion

if TYPE_CHECKING:
    from dgunet.tracking.registry import Registry

models = typer.Typer(
    name="models",
    help="MLflow's registered models, one per task: register, compare, promote.\n\n"
    "Example: dgunet models list",
    no_args_is_help=True,
)

_NO_MODELS = (
    "no registered models; after `dgunet train derain`, `dgunet models register derain` makes one"
)

Task = Annotated[
    str, typer.Argument(help="derain, deblur, denoise or cs", autocompletion=completion.tasks)
]
RatioOption = Annotated[
    int | None,
    typer.Option(
        help="compressive sensing only: percent of measurements, 1 4 10 25 50",
        autocompletion=completion.ratios,
    ),
]
ProfileOption = Annotated[
    str,
    typer.Option(
        help="sample, reduced or paper",
        show_default="that of params.yaml",
        autocompletion=completion.profiles,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.add_typer(models)


@models.command("list")
def list_models() -> None:
    """List registered models with their versions and aliases.

    Example: dgunet models list
    """
    from tabulate import tabulate

    from dgunet.tracking import TrackingFolders
    from dgunet.tracking.registered_versions import registered_versions

    rows = [
        [
            version.name,
            version.number,
            " ".join(f"@{alias}" for alias in version.aliases),
            version.tags.get("variant", ""),
            version.checkpoint[:12],
        ]
        for version in registered_versions(TrackingFolders.at())
    ]
    headers = ["model", "version", "aliases", "variant", "weights"]
    typer.echo(tabulate(rows, headers, disable_numparse=True) if rows else _NO_MODELS)


@models.command("register")
def register_model(
    task: Task,
    variant: Annotated[
        str, typer.Option(help="DGUNet or DGUNet+", autocompletion=completion.variants)
    ] = "DGUNet",
    ratio: RatioOption = None,
    profile: ProfileOption = "",
) -> None:
    """Register the newest finished training as a version of its task's model, as @candidate.

    Example: dgunet models register derain

    Example: dgunet models register cs --ratio 10 --variant DGUNet+
    """
    from dgunet.tools.model_promotion import register_trained

    made = register_trained(
        _registry(), task, profile=profile or _profile(), variant=variant, ratio=ratio
    )
    typer.echo(f"{made.uri} @candidate: {variant}, weights {made.checkpoint[:12]}")


@models.command()
def promote(
    task: Task,
    ratio: RatioOption = None,
    version: Annotated[
        str | None,
        typer.Option(help="number of the version", show_default="@candidate"),
    ] = None,
    profile: ProfileOption = "",
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SET",
            help="leave out a test set whose difference is infinite (an image restored "
            "identically); repeatable",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="compare only, change nothing")
    ] = False,
) -> None:
    """Move the alias @best to a version if it is significantly better; else exit status 1.

    The per-image PSNR of both versions is read from MLflow and compared image by image. @best
    moves if the confidence interval of the mean difference is above zero on at least one test set
    and below zero on none. The first version is compared with the degraded images.

    Example: dgunet models promote derain --dry-run
    """
    from dgunet.tools.model_promotion import find_version, promote_if_better, registered_name

    registry = _registry()
    name = registered_name(task, profile or _profile(), ratio)
    candidate = find_version(registry, name, version)
    outcome = promote_if_better(registry, candidate, without=without or (), dry_run=dry_run)
    typer.echo(outcome.text())
    if not outcome.promoted:
        raise typer.Exit(1)
    typer.echo(f"{'would be' if dry_run else 'now'} @best: {outcome.version.uri}")


@models.command()
def official(
    weights: Annotated[Path, typer.Argument(help="weights written by `dgunet checkpoint import`")],
) -> None:
    """Log the authors' released weights in MLflow and register them as @official.

    Example: dgunet models official derain.safetensors
    """
    from dgunet.tools.model_promotion import add_official
    from dgunet.tracking import ensure_store

    ensure_store()
    typer.echo(f"{add_official(_registry(), weights).uri} @official")


def _registry() -> Registry:
    from dgunet.tracking import TrackingFolders
    from dgunet.tracking.registry import Registry

    return Registry(TrackingFolders.at())


def _profile() -> str:
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders

    return load_params(ProjectFolders.here().params).profile
