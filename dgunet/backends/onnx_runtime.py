"""The backend of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dgunet.backends.onnx_stage import onnx_stage
from dgunet.backends.stages import Run, StageTensors

PACKAGE = "onnxruntime"


def convert(stage: StageTensors) -> Run:
    """Convert a stage, computed by as many threads as torch uses.

    Raises:
        ModuleNotFoundError: if ONNX Runtime or ONNX is not installed.
    """
    import onnxruntime

    exported = onnx_stage(stage)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        exported.model, options, providers=["CPUExecutionProvider"]
    )
    used = {each.name for each in session.get_inputs()}

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        arrays = (np.ascontiguousarray(each.numpy()) for each in tensors)
        given = dict(zip(exported.given, arrays, strict=True))
        made = session.run(exported.made, {name: given[name] for name in used})
        return [torch.from_numpy(array) for array in made]

    return run
