"""Commands of the evaluation: restore, score, protocols, selftest, dnd."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dgunet.cli import completion
from dgunet.cli.restoration_options import BackendOption, MemoryOption, ScratchOption, memory_bytes
from dgunet.cli.score_command import score
from dgunet.terms import EAGER

if TYPE_CHECKING:
    from dgunet.cli.progress_bar import PartsBar
    from dgunet.network import DGUNet

selftest = typer.Typer(
    name="selftest",
    help="Check on this machine that the metrics compute the right values.\n\n"
    "Example: dgunet selftest metrics",
    no_args_is_help=True,
)
dnd = typer.Typer(
    name="dnd",
    help="DND, which its own server scores: pack results for upload, enter the mailed score.\n\n"
    "Example: dgunet dnd bundle build/evaluation/DND-DGUNet",
    no_args_is_help=True,
)

Evaluation = Annotated[
    Path, typer.Argument(help="results of `dgunet evaluate --sets DND`, e.g. build/evaluation/...")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command()(restore)
    app.command()(score)
    app.command()(protocols)
    app.add_typer(selftest)
    app.add_typer(dnd)


def restore(
    images: Annotated[list[str], typer.Argument(help="images, folders or quoted patterns")],
    out: Annotated[Path, typer.Option(help="folder of the restored images")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="weights", show_default="the project's weights for --task"),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="derain, deblur, denoise or cs, instead of --checkpoint",
            autocompletion=completion.tasks,
        ),
    ] = None,
    variant: Annotated[
        str, typer.Option(help="with --task: DGUNet or DGUNet+", autocompletion=completion.variants)
    ] = "DGUNet",
    ratio: Annotated[
        int | None,
        typer.Option(
            help="with --task cs: percent of measurements, 1 4 10 25 50",
            autocompletion=completion.ratios,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda", autocompletion=completion.devices)
    ] = "auto",
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="average over flips and rotations; 8 times slower")
    ] = False,
    memory: MemoryOption = None,
    scratch: ScratchOption = None,
    backend: BackendOption = EAGER,
    force: Annotated[bool, typer.Option("--force", help="overwrite existing images")] = False,
    skip: Annotated[
        bool, typer.Option("--skip-existing", help="skip images that were already restored")
    ] = False,
) -> None:
    """Restore your own images: any size, any common format, 8 or 16 bits.

    Folders are restored with their subfolders, which the results keep.
    A restored image is upright and keeps format, descriptive metadata and transparency; a format
    that cannot be written becomes PNG. The content of a file decides how it is read, the suffix how
    it is written. Every conversion is reported, and every written file is read back. If an image
    fails, the others are still restored and the exit status is 1.

    Example: dgunet restore photo.jpg --task derain --out restored

    Example: dgunet restore "holiday/*.png" scans --checkpoint mine.safetensors --out restored
    """
    from dgunet.backends import on_backend, resolve_backend
    from dgunet.cli.progress_bar import parts_bar
    from dgunet.evaluation.memory import settle_threads
    from dgunet.network import load_network
    from dgunet.network.devices import pick_device
    from dgunet.tools.own_weights import weights_for
    from dgunet.user_images.restoring import find_images, output_paths

    most = memory_bytes(memory)
    sources = find_images(images, lambda line: typer.echo(shown(line)), out)
    pairs = list(zip(sources, output_paths(sources, out, force=force or skip), strict=True))
    if skip:
        pairs = [(source, target) for source, target in pairs if not target.exists()]
        typer.echo(f"{len(sources) - len(pairs)} of {len(sources)} images exist already")
    if note := settle_threads():
        typer.echo(f"note: {note}")
    network, _ = load_network(checkpoint or weights_for(task, variant, ratio))
    network.to(pick_device(device)).eval()
    network = on_backend(network, resolve_backend(network, backend, typer.echo))
    with parts_bar(len(pairs)) as bar:
        failed = sum(
            not _restored(network, *pair, bar, self_ensemble=ensemble, budget=most, scratch=scratch)
            for pair in pairs
        )
    if failed:
        typer.echo(f"{failed} of {len(pairs)} images were not restored", err=True)
        raise typer.Exit(1)


def _restored(network: DGUNet, source: Path, target: Path, bar: PartsBar, **options: Any) -> bool:
    """Restore one image and print one line; False if it failed."""
    import time

    from dgunet.cli.boundary import failure_line
    from dgunet.user_images.restoring import restore_file

    start = time.perf_counter()
    bar.begin(shown(source.name))
    try:
        restored = restore_file(
            network,
            source,
            target,
            channels=network.config.channels,
            observe=bar.done,
            **options,
        )
    except BrokenPipeError:
        raise
    except Exception as error:  # the other images are still restored
        line = failure_line(error)[0].removeprefix("error: ")
        named = "" if shown(source) in line else f"{shown(source)}: "
        bar.say(f"dgunet: error: {named}{line}", err=True)
        return False
    height, width = restored.pixels.shape[:2]
    took = time.perf_counter() - start
    bar.say(f"{shown(source)} -> {shown(target)} ({width}x{height}, {took:.1f} s)")
    for note in restored.notes:
        bar.say(f"{shown(source)}: note: {note}")
    return True


def shown(text: object) -> str:
    """``text`` without characters that a terminal cannot print."""
    from dgunet.system.terminal import printable

    return printable(str(text))


def protocols(
    name: Annotated[
        str | None,
        typer.Argument(
            help="name of one protocol", show_default="all", autocompletion=completion.protocols
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="print Markdown")] = False,
) -> None:
    """Print the complete definition of each metric protocol: colour, rounding, PSNR, SSIM, ...

    Example: dgunet protocols rain-y
    """
    import json

    from dgunet.evaluation.protocol_text import as_markdown, as_text
    from dgunet.evaluation.protocols import PROTOCOLS, protocol

    chosen = [protocol(name)] if name else list(PROTOCOLS.values())
    if as_json:
        typer.echo(json.dumps([each.describe() for each in chosen], indent=2))
    else:
        typer.echo("\n\n".join((as_markdown if markdown else as_text)(each) for each in chosen))


@selftest.command()
def metrics(
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu or cuda: the device on which tensors are scored, too",
            autocompletion=completion.devices,
        ),
    ] = "auto",
) -> None:
    """Compare every protocol with values of slow references; exit status 1 if one differs.

    Example: dgunet selftest metrics
    """
    from dgunet.evaluation.selftest import check_metrics
    from dgunet.network.devices import pick_device

    checks = list(check_metrics(str(pick_device(device))))
    for check in checks:
        typer.echo(
            f"{check.protocol:17} {check.where:6} {check.metric}  {check.value:.10f}  expected "
            f"{check.expected:.10f}  off by {check.deviation:.1e}  "
            f"{'ok' if check.ok else 'FAILED'}"
        )
    if not all(check.ok for check in checks):
        typer.echo("the metrics on this machine differ from the expected values", err=True)
        raise typer.Exit(1)
    typer.echo(f"all {len(checks)} values agree")


@dnd.command()
def bundle(
    evaluation: Evaluation,
    out: Annotated[Path, typer.Option(help="the zip file to upload")] = Path("dnd-submission.zip"),
) -> None:
    """Pack a finished DND evaluation for the benchmark's server.

    Example: dgunet dnd bundle build/evaluation/DND-DGUNet
    """
    from dgunet.evaluation.dnd import zip_submission
    from dgunet.evaluation.results import read_result

    read_result(evaluation)
    digest = zip_submission(evaluation, out)
    typer.echo(f"{out}: 50 files, sha256 {digest}")
    typer.echo(f"upload it, keep the mail, then: dgunet dnd record {evaluation} --help")


@dnd.command()
def record(
    evaluation: Evaluation,
    psnr: Annotated[float, typer.Option(help="sRGB PSNR as mailed, dB")],
    ssim: Annotated[float, typer.Option(help="sRGB SSIM as mailed")],
    evidence: Annotated[Path, typer.Option(help="file with the saved mail or web page")],
    out: Annotated[
        Path | None,
        typer.Option(help="record to write", show_default="records/dnd-<row>.json"),
    ] = None,
) -> None:
    """Enter the score that DND's server sent by mail, with its evidence.

    The record contains the digests of the weights, the data and the bundle. Keep it under version
    control, with the copy of the evidence next to it.

    Example: dgunet dnd record build/evaluation/DND-DGUNet --psnr 40.00 --ssim 0.960
    --evidence mail.eml
    """
    from dgunet.evaluation.dnd import record_score
    from dgunet.evaluation.results import read_result

    content = read_result(evaluation).to_dict()
    target = out or Path("records") / f"dnd-{content['row']}.json"
    entered = record_score(evaluation, content, psnr, ssim, evidence, target)
    typer.echo(f"{target}: {entered.psnr} dB / {entered.ssim}, evidence {entered.evidence}")
