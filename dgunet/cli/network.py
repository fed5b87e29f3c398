"""Verbs of the network room: describe, errata, inspect, and the checkpoint group."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from dgunet.network.introspect import StageReport

checkpoint = typer.Typer(
    name="checkpoint",
    help="Exchange checkpoints with the authors' code, and look into them.",
    no_args_is_help=True,
)

Checkpoint = Annotated[Path, typer.Argument(help="A checkpoint of ours (safetensors).")]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to ``app``."""
    app.command("describe")(describe)
    app.command("errata")(errata)
    app.command("inspect")(inspect)
    app.add_typer(checkpoint)


def describe(
    task: Annotated[
        str | None, typer.Argument(help="derain, deblur, denoise or cs; all by default.")
    ] = None,
    architecture: Annotated[str, typer.Option(help="released or paper.")] = "released",
    height: Annotated[int, typer.Option(help="Image height in pixels.", min=1)] = 256,
    width: Annotated[int, typer.Option(help="Image width in pixels.", min=1)] = 256,
    page: Annotated[bool, typer.Option("--page", help="Print docs/network.md instead.")] = False,
) -> None:
    """Print parameters and operations of every network of the paper.

    Example: dgunet describe derain --height 720 --width 1280
    """
    from dgunet.network import describe as counting
    from dgunet.network.config import TASKS
    from dgunet.network.page import network_page

    if page:
        typer.echo(network_page(), nl=False)
        return
    configs = counting.variants(TASKS if task is None else (task,), architecture)
    descriptions = [counting.describe(config, (height, width)) for config in configs]
    typer.echo(f"{architecture} architecture, one image of {height} x {width} pixels\n")
    typer.echo(counting.describe_markdown(descriptions), nl=False)


def errata(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print docs/errata.md instead of plain text.")
    ] = False,
) -> None:
    """Print where the paper's text and the authors' code differ, and what dgunet does.

    Example: dgunet errata
    """
    from dgunet.network.errata import ERRATA, errata_markdown

    if markdown:
        typer.echo(errata_markdown(), nl=False)
        return
    for number, row in enumerate(ERRATA, start=1):
        typer.echo(f"{number}. {row.topic}")
        typer.echo(f"   paper:    {row.paper}")
        typer.echo(f"   code:     {row.code}")
        typer.echo(f"   evidence: {row.evidence}")
        typer.echo(f"   field:    {row.field}" if row.field else f"   here:     {row.settled}")


@checkpoint.command("import")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A .pth or .pkl file of the authors' format.")],
    out: Annotated[Path, typer.Option("--out", help="The safetensors file to write.")],
    task: Annotated[
        str | None,
        typer.Option(help="Needed where deblurring and denoising have the same network."),
    ] = None,
    proximal_domain: Annotated[
        str, typer.Option(help="Compressive sensing: image (second step) or block (first step).")
    ] = "image",
) -> None:
    """Turn a checkpoint of the authors' format into ours, strictly.

    Example: dgunet checkpoint import pretrained_models/DGUNet.pth --out derain.safetensors
    """
    from dgunet.network import save_network
    from dgunet.network.official import import_official

    network, origin = import_official(file, task=task, proximal_domain=proximal_domain)
    save_network(network, out, origin)
    config = network.config
    ratio = "" if config.ratio is None else f" {config.ratio} %"
    typer.echo(f"{file}: {config.task}{ratio} {config.variant} -> {out}")
    for name, value in origin.items():
        typer.echo(f"  {name}: {value}")


@checkpoint.command("export")
def export_checkpoint(
    file: Checkpoint,
    out: Annotated[Path, typer.Option("--out", help="The .pth or .pkl file to write.")],
) -> None:
    """Write one of our checkpoints in the authors' format.

    Example: dgunet checkpoint export derain.safetensors --out DGUNet.pth
    """
    from dgunet.network import load_network
    from dgunet.network.official import export_official

    network, _ = load_network(file)
    export_official(network, out)
    typer.echo(f"{file} -> {out}")


@checkpoint.command("info")
def checkpoint_info(file: Checkpoint) -> None:
    """Print the config, the size and the origin of one of our checkpoints.

    Example: dgunet checkpoint info derain.safetensors
    """
    from dgunet.files import sha256_file
    from dgunet.network import load_network

    network, extra = load_network(file)
    typer.echo(f"sha256: {sha256_file(file)}")
    typer.echo(f"parameters: {sum(p.numel() for p in network.parameters()):,}")
    for name, value in {**network.config.to_dict(), **extra}.items():
        typer.echo(f"{name}: {value}")


def inspect(
    image: Annotated[Path, typer.Argument(help="The degraded image; for cs the clean grey one.")],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="A checkpoint of ours.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the strip and the numbers.")],
    log: Annotated[
        bool, typer.Option("--mlflow", help="Make it an MLflow run, with the stage as the step.")
    ] = False,
) -> None:
    """Show what every stage does to an image: images, step sizes, residuals, adjointness.

    Example: dgunet inspect rainy.png --checkpoint derain.safetensors --out build/inspect
    """
    from dgunet.files import atomic_path, write_json
    from dgunet.network import load_network
    from dgunet.network.introspect import inspect_network, stage_strip

    network, _ = load_network(checkpoint)
    observed = _read(image, network.config.channels)
    reports = inspect_network(network, observed)
    strip = stage_strip(reports, observed)
    with atomic_path(out / "stages.png") as temporary:
        strip.save(temporary)
    rows = [{"stage": r.stage, **_numbers(r)} for r in reports]
    write_json(out / "stages.json", {"image": image.name, "stages": rows})
    typer.echo("stage  step size  data residual  adjointness gap")
    for r in reports:
        values = [_number(v) for v in (r.step_size, r.data_residual, r.adjointness_gap)]
        typer.echo(f"{r.stage:5d}  {values[0]:>9}  {values[1]:>13}  {values[2]:>15}")
    typer.echo(f"wrote {out / 'stages.png'} and {out / 'stages.json'}")
    if log:
        _tell_mlflow(reports, out, image, checkpoint, network.config.task)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def _numbers(report: StageReport) -> dict[str, float]:
    numbers = {
        "step_size": report.step_size,
        "data_residual": report.data_residual,
        "adjointness_gap": report.adjointness_gap,
    }
    return {name: value for name, value in numbers.items() if value is not None}


def _read(path: Path, channels: int) -> Tensor:
    """The image at ``path`` as a tensor (1, channels, H, W) in [0, 1]."""
    import numpy as np
    import torch
    from PIL import Image, UnidentifiedImageError

    from dgunet.errors import DataError

    try:
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} is not a readable image ({error}).", "Check the path.") from error
    planes = pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)
    return torch.from_numpy(planes / np.float32(255)).unsqueeze(0)


def _tell_mlflow(
    reports: list[StageReport], out: Path, image: Path, checkpoint: Path, task: str
) -> None:
    from dgunet.files import sha256_file
    from dgunet.network.introspect import to_uint8
    from dgunet.stages.layout import EXPERIMENTS
    from dgunet.tracking import start_run

    tags = {
        "stage": "inspect",
        "task": task,
        "profile": "none",
        "data.digest": sha256_file(image),
        "checkpoint.sha256": sha256_file(checkpoint),
    }
    settings = {"image": image.name, "stages": len(reports)}
    name = f"inspect {image.name}"
    with start_run(EXPERIMENTS["inspect"], name, tags=tags, params=settings) as run:
        for report in reports:
            run.log_metrics(_numbers(report), step=report.stage)
            run.log_image(to_uint8(report.x), f"x_hat/stage-{report.stage}.png")
        for path in (out / "stages.png", out / "stages.json"):
            run.log_artifact(path)
