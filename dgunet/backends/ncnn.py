"""The backend of ncnn: its Winograd algorithm for the 3x3 convolutions; the rest stays in torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dgunet.backends.stages import Run, StageTensors

_FEWEST = 16  # channels; narrower convolutions are slower in ncnn


def convert(stage: StageTensors) -> Run:
    """Replace the 3x3 convolutions of at least `_FEWEST` channels.

    Raises:
        ModuleNotFoundError: if ncnn is not installed.
    """
    import ncnn  # noqa: F401

    replace_convolutions(stage)
    return stage


def replace_convolutions(module: nn.Module) -> None:
    """Replace, at any depth, the convolutions that ncnn computes."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and _suitable(child):
            setattr(module, name, NcnnChain([child]))
        else:
            replace_convolutions(child)


def _suitable(layer: nn.Conv2d) -> bool:
    plain = (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (1, 1), (1, 1))
    return plain and min(layer.in_channels, layer.out_channels) >= _FEWEST


class NcnnChain(nn.Module):
    """3x3 convolutions with zero padding, one after the other, computed by ncnn in float32.

    Args:
        layers: the convolutions; between them the features stay in ncnn's memory order.
    """

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        import ncnn

        self.weight = layers[0].weight  # some modules ask for its type
        self._matrix, self._last = ncnn.Mat, f"z{len(layers)}"
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = torch.get_num_threads()
        for half in ("fp16_storage", "fp16_arithmetic", "fp16_packed", "bf16_storage"):
            setattr(options, f"use_{half}", False)
        with tempfile.TemporaryDirectory() as folder:
            structure, weights = Path(folder, "chain.param"), Path(folder, "chain.bin")
            structure.write_text(_structure(layers), encoding="ascii")
            weights.write_bytes(b"".join(_weights(layer) for layer in layers))
            if self._net.load_param(str(structure)) or self._net.load_model(str(weights)):
                raise RuntimeError("ncnn refused a convolution")

    def forward(self, z: Tensor) -> Tensor:
        """Map features (B, channels, H, W) to (B, channels_out, H, W)."""
        made = []
        for image in z:
            run = self._net.create_extractor()
            run.input("z0", self._matrix(image.contiguous().numpy()))
            status, output = run.extract(self._last)
            if status:
                raise RuntimeError(f"ncnn failed with status {status}")
            made.append(torch.from_numpy(np.array(output)))
        return torch.stack(made) if len(made) > 1 else made[0][None]


def _structure(layers: Sequence[nn.Conv2d]) -> str:
    """The layers in ncnn's text format: numbered parameters of ``Convolution``."""
    lines = ["Input z0 0 1 z0"]
    for number, layer in enumerate(layers):
        values = {
            0: layer.out_channels,
            1: 3,  # kernel size
            4: 1,  # padding
            5: int(layer.bias is not None),
            6: layer.weight.numel(),
        }
        words = " ".join(f"{key}={value}" for key, value in values.items())
        lines.append(f"Convolution layer{number} 1 1 z{number} z{number + 1} {words}")
    return "\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]) + "\n"


def _weights(layer: nn.Conv2d) -> bytes:
    """The weights in ncnn's binary format: a tag that says float32, weights, biases."""
    tensors = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    parts = [each.detach().numpy().astype("<f4").tobytes() for each in tensors]
    return b"\0\0\0\0" + b"".join(parts)
