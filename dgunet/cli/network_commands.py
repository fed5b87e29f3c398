"""Network commands: describe, errata, inspect, measure, reconstruct, and checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dgunet.cli import completion
from dgunet.cli.consent import AcceptLicence
from dgunet.system.errors import ConfigError

checkpoint = typer.Typer(
    name="checkpoint",
    help="Fetch the authors' checkpoints, convert them from and to their format, show contents.\n\n"
    "Example: dgunet checkpoint info derain.safetensors",
    no_args_is_help=True,
)

Checkpoint = Annotated[Path, typer.Argument(help="dgunet checkpoint (.safetensors)")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command("describe")(describe)
    app.command("errata")(errata)
    app.command("inspect")(inspect)
    app.command("measure")(measure)
    app.command("reconstruct")(reconstruct)
    app.add_typer(checkpoint)


def describe(
    task: Annotated[
        str | None,
        typer.Argument(
            help="derain, deblur, denoise or cs",
            show_default="all",
            autocompletion=completion.tasks,
        ),
    ] = None,
    architecture: Annotated[
        str,
        typer.Option(
            help="released (the authors' code) or paper (the text)",
            autocompletion=completion.architectures,
        ),
    ] = "released",
    height: Annotated[int, typer.Option(help="image height in pixels", min=1, max=65_536)] = 256,
    width: Annotated[int, typer.Option(help="image width in pixels", min=1, max=65_536)] = 256,
    page: Annotated[
        bool, typer.Option("--page", help="print the page docs/network.md instead")
    ] = False,
) -> None:
    """Print the number of parameters and operations of the paper's networks.

    Example: dgunet describe derain --height 720 --width 1280
    """
    from dgunet.network.describe import describe_markdown, describe_network, paper_networks
    from dgunet.network.network_page import network_page
    from dgunet.terms import TASKS

    if page:
        typer.echo(network_page(), nl=False)
        return
    configs = paper_networks(TASKS if task is None else (task,), architecture)
    descriptions = [describe_network(config, (height, width)) for config in configs]
    typer.echo(f"{architecture} architecture, one image of {height} x {width} pixels\n")
    typer.echo(describe_markdown(descriptions), nl=False)


def errata(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="print the page docs/errata.md instead")
    ] = False,
) -> None:
    """Print the differences between the paper and the authors' code, and the choices made here.

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
    file: Annotated[Path, typer.Argument(help=".pth or .pkl file in the authors' format")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="checkpoint to write", show_default="FILE with .safetensors"),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="task of the network; required only for DGUNet for deblurring or denoising",
            autocompletion=completion.tasks,
        ),
    ] = None,
    proximal_domain: Annotated[
        str,
        typer.Option(
            help="for cs: image (second training step) or block (first step)",
            autocompletion=completion.proximal_domains,
        ),
    ] = "image",
) -> None:
    """Convert a checkpoint in the authors' format to a dgunet checkpoint.

    The file must have exactly the keys and shapes of one of the authors' networks; otherwise the
    differences are listed. Its name and SHA-256 are stored in the new file and shown by
    `dgunet checkpoint info`.

    Example: dgunet checkpoint import pretrained_models/DGUNet.pth --out derain.safetensors
    """
    from dgunet.network import save_network
    from dgunet.network.official import import_official

    written = out or file.with_suffix(".safetensors")
    if out is None and written.exists():
        raise ConfigError(f"{written} already exists.", "Name the file to write with --out.")
    network, origin = import_official(file, task=task, proximal_domain=proximal_domain)
    save_network(network, written, origin)
    config = network.config
    ratio = "" if config.ratio is None else f" {config.ratio} %"
    typer.echo(f"{file}: {config.task}{ratio} {config.variant} -> {written}")
    for name, value in origin.items():
        typer.echo(f"  {name}: {value}")


@checkpoint.command("fetch")
def fetch_checkpoint(
    what: Annotated[str, typer.Argument(metavar="released", help="the authors' weights")],
    task: Annotated[
        str, typer.Option(help="derain, deblur, denoise or cs", autocompletion=completion.tasks)
    ],
    variant: Annotated[
        str, typer.Option(help="DGUNet or DGUNet+", autocompletion=completion.variants)
    ] = "DGUNet",
    ratio: Annotated[
        int | None,
        typer.Option(help="for cs: sampling ratio in percent", autocompletion=completion.ratios),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="checkpoint to write", show_default="build/models/released/NETWORK/..."
        ),
    ] = None,
    downloads: Annotated[
        Path | None,
        typer.Option(help="folder for the archive", show_default="build/downloads"),
    ] = None,
    accept_licence: AcceptLicence = False,
) -> None:
    """Download the authors' weights of one network and convert them to a dgunet checkpoint.

    The archive is shown with its licence, and you are asked once for consent; --accept-licence or
    DGUNET_ACCEPT_LICENCE replace the question. It is kept for the other networks that it holds.
    Exactly one file in it must have the keys and shapes of the network. The checkpoint of cs holds
    its sampling matrix.

    Example: dgunet checkpoint fetch released --task derain --variant DGUNet+

    Example: dgunet checkpoint fetch released --task cs --ratio 10 --out cs-r10.safetensors
    """
    from dgunet.cli.consent import fetch_released
    from dgunet.project import ProjectFolders, model_key
    from dgunet.terms import check_task, check_variant

    if what != "released":
        raise ConfigError(f"there are no {what!r} weights to fetch.", "Write `released`.")
    here = ProjectFolders.here()
    key = model_key(check_task(task), check_variant(variant), ratio)
    target = out or here.using("released").model(key) / "network.safetensors"
    fetch_released(
        (check_task(task), check_variant(variant), ratio),
        target,
        downloads or here.home / "build" / "downloads",
        accept=accept_licence,
    )
    typer.echo(f"wrote {target}")


@checkpoint.command("export")
def export_checkpoint(
    file: Checkpoint,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="file to write: .pth or .pkl (authors), .onnx, or .pt2 (torch.export)"
        ),
    ],
) -> None:
    """Convert a dgunet checkpoint to the authors' format, ONNX or torch.export.

    ONNX files and torch.export programs map images to restored images, for any batch size and any
    side of 9 pixels or more (33 or more for cs). ONNX takes minutes; the steps are shown.

    Example: dgunet checkpoint export derain.safetensors --out DGUNet.pth

    Example: dgunet checkpoint export derain.safetensors --out derain.onnx
    """
    from dgunet.network import load_network
    from dgunet.network.export import export_onnx, save_program
    from dgunet.network.official import export_official

    observed = {".onnx": export_onnx, ".pt2": save_program}
    suffixes = (".pth", ".pkl", *observed)
    if out.suffix not in suffixes:
        raise ConfigError(f"--out {out}: unknown suffix.", f"Use one of {', '.join(suffixes)}.")
    network, _ = load_network(file)
    if write := observed.get(out.suffix):
        write(network, out, _show_step)
    else:
        export_official(network, out)
    typer.echo(f"{file} -> {out}")


def _show_step(number: int, count: int, step: str) -> None:
    typer.echo(f"step {number} of {count}: {step} ...", err=True)


@checkpoint.command("info")
def checkpoint_info(file: Checkpoint) -> None:
    """Print the configuration, the size and the origin of a dgunet checkpoint.

    Example: dgunet checkpoint info derain.safetensors
    """
    from dgunet.network import load_network
    from dgunet.system.files import sha256_file

    network, extra = load_network(file)
    typer.echo(f"sha256: {sha256_file(file)}")
    typer.echo(f"parameters: {sum(p.numel() for p in network.parameters()):,}")
    for name, value in {**network.config.to_dict(), **extra}.items():
        typer.echo(f"{name}: {value}")


def inspect(
    source: Annotated[
        Path, typer.Argument(help="degraded image; for cs a clean image or measurements (.npy)")
    ],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="dgunet checkpoint")],
    out: Annotated[Path, typer.Option("--out", help="folder for the images and the numbers")],
    log: Annotated[
        bool, typer.Option("--mlflow", help="record an MLflow run with the stage as step")
    ] = False,
) -> None:
    """Write images, step size, data residual and adjointness gap of every stage.

    The images are in stages.png, the numbers in stages.json.

    Example: dgunet inspect rainy.png --checkpoint derain.safetensors --out build/inspect
    """
    from dgunet.tools.stage_inspection import NUMBERS, STRIP, inspect_input

    reports = inspect_input(source, checkpoint, out, track=log)
    typer.echo("stage  step size  data residual  adjointness gap")
    for r in reports:
        values = [_number(v) for v in (r.step_size, r.data_residual, r.adjointness_gap)]
        typer.echo(f"{r.stage:5d}  {values[0]:>9}  {values[1]:>13}  {values[2]:>15}")
    typer.echo(f"wrote {out / STRIP} and {out / NUMBERS}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def measure(
    image: Annotated[Path, typer.Argument(help="image in any common format")],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="dgunet checkpoint for cs")],
    out: Annotated[Path, typer.Option("--out", help=".npy file to write")],
) -> None:
    """Compute compressive measurements of an image with the sampling matrix of a network.

    The file contains a float32 array (M, rows of blocks, columns of blocks): the matrix times each
    block of 32 x 32 pixels, taken row by row. Sides are padded with zeros to whole blocks.

    Example: dgunet measure photo.png --checkpoint cs-r10.safetensors --out photo.npy
    """
    from dgunet.tools.compressive_sensing import measure_image

    shape = measure_image(image, checkpoint, out)
    typer.echo(
        f"{image} -> {out}, {shape[0]} measurements per block, {shape[1]} x {shape[2]} blocks"
    )


def reconstruct(
    measurements: Annotated[Path, typer.Argument(help=".npy file, as `dgunet measure` writes it")],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", help="dgunet checkpoint for cs")],
    out: Annotated[Path, typer.Option("--out", help="image to write")],
    height: Annotated[
        int | None, typer.Option(help="rows to keep", show_default="all", min=1)
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="columns to keep", show_default="all", min=1)
    ] = None,
) -> None:
    """Reconstruct an image from compressive measurements only.

    Example: dgunet reconstruct photo.npy --checkpoint cs-r10.safetensors --out photo.png
    """
    from dgunet.tools.compressive_sensing import reconstruct_image

    rows, columns = reconstruct_image(measurements, checkpoint, out, (height, width))
    typer.echo(f"{measurements} -> {out} ({columns}x{rows})")
