"""The options about costs that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dgunet.cli import completion

GpuOption = Annotated[
    str | None,
    typer.Option(
        "--gpu",
        help="model of the GPUs: V100, A100, H100 or H200",
        show_default="all four",
        autocompletion=completion.gpus,
    ),
]
TflopsOption = Annotated[
    float | None,
    typer.Option(
        "--tflops",
        min=0.01,
        max=1e6,
        help="instead of --gpu: TFLOP/s that a GPU sustains in float32",
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="instead of --gpu: file with the rates that `dgunet calibrate` measured",
    ),
]
QuotaOption = Annotated[
    int | None,
    typer.Option(
        "--quota",
        min=1,
        help="GPUs that the run may use at a time, for the plan's wall time",
        show_default="any number",
    ),
]
PriceOption = Annotated[
    float | None,
    typer.Option("--price", min=0, max=1e6, help="price of a GPU-hour, for the plan's costs"),
]
CurrencyOption = Annotated[
    str | None, typer.Option("--currency", help="label of the price, e.g. EUR", show_default="none")
]
