"""Export of networks as ``torch.export`` programs and ONNX files with dynamic image sizes."""

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
    """A network that returns the output of the last stage only, unclamped."""

    def __init__(self, network: DGUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Restore images (B, C, H, W) with values in [0, 1]; the result has the same shape."""
        return self.network(image)[-1]  # type: ignore[no-any-return]


def export_program(network: DGUNet) -> ExportedProgram:
    """Export the network as a ``torch.export`` program from images to restored images.

    Batch size, height and width are dynamic. Sides must be larger than the multiple they are padded
    to: 9 pixels or more for restoration, 33 or more for compressive sensing.

    Raises:
        ConfigError: for a network with ``proximal_domain="block"``.
    """
    network, image, dims = _prepared(network)
    with torch.no_grad():
        return torch.export.export(Restoration(network).eval(), (image,), dynamic_shapes=(dims,))


def save_program(network: DGUNet, path: Path | str) -> None:
    """Write the program of :func:`export_program` to ``path``, for ``torch.export.load``."""
    program = export_program(network)
    with atomic_path(Path(path)) as temporary:
        torch.export.save(program, temporary)


def export_onnx(network: DGUNet, path: Path | str) -> None:
    """Write the network as an ONNX file with input "image" and output "restored".

    Sizes are dynamic as in :func:`export_program`. ONNX has no linear solver, so the 16 x 16
    systems of the subspace projection are unrolled into elementary operations.

    Raises:
        ConfigError: if the packages of the ``export`` extra are not installed, or for a network
            with ``proximal_domain="block"``.
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
            'a network with proximal_domain="block" cannot be exported with dynamic sizes.',
            'Export the network with proximal_domain="image"; it has the same weights.',
        )
    m = network.config.multiple
    dims = {0: Dim("batch", min=1), 2: Dim("height", min=m + 1), 3: Dim("width", min=m + 1)}
    # The sides of the example are not multiples of m, so that the program always pads.
    image = torch.zeros(2, network.config.channels, 41, 107).to(next(network.parameters()))
    return copy.deepcopy(network), image, dims
