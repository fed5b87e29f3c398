"""The network for other runtimes: ``torch.export`` programs and ONNX files, any image size."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from dgunet.network.dgunet import DGUNet
from dgunet.network.proximal import SubspaceProjection
from dgunet.system.errors import ConfigError
from dgunet.system.files import atomic_path


class Restoration(nn.Module):
    """The network as one image to one image: the last stage's output, unclamped."""

    def __init__(self, network: DGUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.network(image)[-1]  # type: ignore[no-any-return]


def export_program(network: DGUNet) -> ExportedProgram:
    """The network as a ``torch.export`` program of one image to one image.

    Batch, height and width stay open; sides must exceed one multiple of the padding: 9 pixels or
    more for restoration, 33 for compressive sensing.
    """
    network, image, dims = _prepared(network)
    with torch.no_grad():
        return torch.export.export(Restoration(network).eval(), (image,), dynamic_shapes=(dims,))


def save_program(network: DGUNet, path: Path | str) -> None:
    """Write :func:`export_program`'s program to ``path``, for ``torch.export.load``."""
    program = export_program(network)
    with atomic_path(Path(path)) as temporary:
        torch.export.save(program, temporary)


def export_onnx(network: DGUNet, path: Path | str) -> None:
    """Write the network as an ONNX file with input "image" and output "restored".

    Sizes stay open as in :func:`export_program`. ONNX has no linear solver, so the 16 x 16
    systems of the subspace projection are unrolled into elementary operations there.

    Raises:
        ConfigError: if the packages of the ``export`` extra are not installed.
    """
    if find_spec("onnxscript") is None:
        raise ConfigError(
            "ONNX export needs the package onnxscript.", "Run: pip install 'dgunet[export]'"
        )
    network, image, dims = _prepared(network)
    for module in network.modules():
        if isinstance(module, SubspaceProjection):
            module.unrolled = True
    program = torch.onnx.export(
        Restoration(network).eval(),
        (image,),
        dynamo=True,
        dynamic_shapes=(dims,),
        input_names=["image"],
        output_names=["restored"],
        verbose=False,
    )
    assert program is not None
    with atomic_path(Path(path)) as temporary:
        program.save(temporary, external_data=False)


def _prepared(network: DGUNet) -> tuple[DGUNet, Tensor, dict[int, Dim]]:
    if network.config.proximal_domain == "block":
        raise ConfigError(
            'a network with proximal_domain="block" cannot be exported with open sizes.',
            'Export the "image" network; the weights are the same.',
        )
    m = network.config.multiple
    dims = {0: Dim("batch", min=1), 2: Dim("height", min=m + 1), 3: Dim("width", min=m + 1)}
    # An example that is no multiple of the padding, so that nothing is specialised to fitting.
    image = torch.zeros(2, network.config.channels, 41, 107).to(next(network.parameters()))
    return copy.deepcopy(network), image, dims
