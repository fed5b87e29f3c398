"""``dgunet demo``: a local page that restores uploaded images."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from dgunet.cli import completion
from dgunet.cli.restoration_options import MemoryOption, memory_bytes


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command()(demo)


def demo(
    checkpoint: Annotated[
        Path | None, typer.Option(help="weights", show_default="all weights of the project")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="the task that is chosen at first: derain, deblur, denoise or cs",
            autocompletion=completion.tasks,
        ),
    ] = None,
    memory: MemoryOption = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda", autocompletion=completion.devices)
    ] = "auto",
    host: Annotated[
        str, typer.Option(help="address to listen at; 0.0.0.0 lets other machines in")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="port", show_default="0, any free one")
    ] = 0,
    browser: Annotated[bool, typer.Option("--open", help="open the page in the browser")] = False,
) -> None:
    """Serve a page on this machine that restores an uploaded image, until Ctrl-C.

    The page shows the image before and after with a slider, and gives the file that `dgunet
    restore` writes. It offers the tasks whose weights the project has. It needs no internet.
    Other machines can open it with --host only, and then without a password. Uploads are in a
    temporary folder that is removed at the end.

    Example: dgunet demo

    Example: dgunet demo --checkpoint mine.safetensors --memory 2GiB --port 7860
    """
    most = memory_bytes(memory)
    if find_spec("gradio") is None:  # said before anything else is looked at
        raise ModuleNotFoundError("No module named 'gradio'", name="gradio")
    from dgunet.cli.boundary import failure_line
    from dgunet.demo.networks import choices_here, preselected
    from dgunet.demo.server import Place, address_of, bound, private_folder, serve

    choices = choices_here(checkpoint)
    chosen = preselected(choices, task)
    end = threading.Event()
    with private_folder() as folder:
        import torch

        from dgunet.demo.page import Settings, build_page
        from dgunet.demo.uploads import Restorer
        from dgunet.evaluation.memory import limit_now, settle_threads
        from dgunet.network.devices import pick_device

        where = pick_device(device)
        listener = bound(Place(host, port))
        if note := settle_threads():
            typer.echo(f"note: {note}")
        most = most or limit_now(torch.device(where))
        settings = Settings(choices, chosen, most, lambda e: failure_line(e)[0], end.is_set)
        page = build_page(settings, Restorer(folder / "results", where))
        address = address_of(listener)
        if not listener.getsockname()[0].startswith(("127.", "::1")):
            typer.echo("note: there is no password; everybody who reaches this machine can use it")
        serve(page, listener, lambda: _announce(address, browser), end)
    typer.echo("stopped; the uploaded and the restored images were removed")


def _announce(address: str, browser: bool) -> None:
    typer.echo(f"{address} (stop with Ctrl-C)")
    if browser:
        import webbrowser

        webbrowser.open(address)
