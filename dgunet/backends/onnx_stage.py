"""A stage as an ONNX model in memory, which OpenVINO and ONNX Runtime read."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgunet.backends.stages import StageTensors

_OPSET = 18


@dataclass(frozen=True)
class OnnxStage:
    """A model and the names of its inputs and outputs in the order of `StageTensors.forward`.

    Inputs that the stage does not use may be missing in the model.
    """

    model: bytes
    given: list[str]
    made: list[str]

    def feed(self, tensors: Iterable[Tensor], used: Collection[str]) -> dict[str, Any]:
        """Return the arrays of ``tensors`` by the names of the inputs that are ``used``."""
        named = zip(self.given, tensors, strict=True)
        return {name: np.ascontiguousarray(each.numpy()) for name, each in named if name in used}


def onnx_stage(stage: StageTensors) -> OnnxStage:
    """Write a stage as ONNX with dynamic batch and sides.

    It is traced: `torch.export`, which torch prefers, takes ten times as long for a stage. Tracing
    keeps Python numbers constant; tests compare with other sizes than the traced one.

    Raises:
        ModuleNotFoundError: if the package onnx is not installed.
    """
    import onnx  # noqa: F401  # torch's message for its absence is hard to read

    example = stage.elementary().example()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tracing
        given = [f"given{number}" for number in range(len(example))]
        made = [f"made{number}" for number in range(len(stage(*example)))]
        model = io.BytesIO()
        torch.onnx.export(
            stage,
            example,
            model,  # type: ignore[arg-type]
            input_names=given,
            output_names=made,
            dynamic_axes={
                name: {0: "batch", 2: f"{name}_rows", 3: f"{name}_columns"}
                for name in (*given, *made)
            },
            opset_version=_OPSET,
            dynamo=False,
        )
    return OnnxStage(model.getvalue(), given, made)
