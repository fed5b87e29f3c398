"""The backend of ONNX Runtime."""

from __future__ import annotations

import torch
from torch import Tensor

from dgunet.backends.onnx_stage import onnx_stage
from dgunet.backends.stages import Run, StageTensors


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

    def run(*tensors: Tensor) -> list[Tensor]:
        made = session.run(exported.made, exported.feed(tensors, used))
        return [torch.from_numpy(array) for array in made]

    return run
