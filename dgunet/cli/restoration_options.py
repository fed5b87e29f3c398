"""Options of commands that restore images: `--memory`, `--scratch` and `--backend`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dgunet.cli import completion

MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        help="memory that the command may take, such as 8GiB; an image that needs more is restored"
        " in strips, which gives the same result",
        show_default="the free memory",
    ),
]

ScratchOption = Annotated[
    Path | None,
    typer.Option(
        "--scratch",
        exists=True,
        file_okay=False,
        writable=True,
        help="folder for temporary files of strips",
        show_default="TMPDIR",
    ),
]


BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        help="what computes the network: eager, channels-last, compile, onnxruntime, openvino,"
        " ncnn, or auto for the fastest on this machine; cells of the paper need eager",
        autocompletion=completion.backends,
    ),
]


def memory_bytes(text: str | None) -> int | None:
    """Return the bytes that ``text`` states, such as "8GiB" or "500 MB"; None for none.

    Raises:
        ConfigError: if it is not a size.
    """
    if text is None:
        return None
    from pydantic import ByteSize, TypeAdapter, ValidationError

    from dgunet.system.errors import ConfigError
    from dgunet.system.reading import shorten

    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        size = ByteSize(0)
    if size <= 0:
        raise ConfigError(f"--memory {shorten(text)} is not a size.", "Give one such as 8GiB.")
    return int(size)
