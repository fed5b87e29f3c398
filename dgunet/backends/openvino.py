"""The backend of OpenVINO."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from dgunet.backends.onnx_stage import onnx_stage
from dgunet.backends.stages import Run, StageTensors


@cache
def _core() -> Any:
    """OpenVINO's runtime, which has to live as long as the process.

    On CPUs with AMX it gives the process a stack for signal handlers, and frees it when it is
    destroyed: the next signal would then be a segmentation fault.
    """
    import openvino

    return openvino.Core()


def convert(stage: StageTensors) -> Run:
    """Convert a stage, computed in float32 by as many threads as torch uses.

    Raises:
        ModuleNotFoundError: if OpenVINO or ONNX is not installed.
    """
    # Through ONNX: OpenVINO's own converter of torch sends usage statistics.
    exported = onnx_stage(stage)
    core = _core()
    compiled = core.compile_model(
        core.read_model(exported.model),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",  # else some CPUs compute in bfloat16
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        },
    )
    used = {name for port in compiled.inputs for name in port.get_names()}
    request = compiled.create_infer_request()

    def run(*tensors: Tensor) -> list[Tensor]:
        made = request.infer(exported.feed(tensors, used), share_inputs=True)
        return [torch.from_numpy(made[name]) for name in exported.made]

    return run
