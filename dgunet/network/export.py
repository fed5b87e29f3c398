"""Export of networks as ``torch.export`` programs and ONNX files with dynamic image sizes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from dgunet.network.dgunet import DGUNet
from dgunet.network.proximal import SubspaceProjection
from dgunet.system.errors import ConfigError
from dgunet.system.files import atomic_path

Observe = Callable[[int, int, str], None]
"""Called with the number of a step, the number of steps, and what the step does."""


class Restoration(nn.Module):
    """A network that returns the output of the last stage only, unclamped."""

    def __init__(self, network: DGUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Restore images (B, C, H, W) with values in [0, 1]; the result has the same shape."""
        return self.network(image)[-1]  # type: ignore[no-any-return]


def export_program(network: DGUNet, *, unrolled: bool = False) -> ExportedProgram:
    """Export the network as a ``torch.export`` program from images to restored images.

    Batch size, height and width are dynamic. Sides must be larger than the multiple they are padded
    to: 9 pixels or more for restoration, 33 or more for compressive sensing.

    Args:
        network: the network.
        unrolled: whether linear systems are solved by elementary operations.

    Raises:
        ConfigError: for a network with ``proximal_domain="block"``.
    """
    network, image, dims = _prepared(network)
    for module in network.modules():
        if isinstance(module, SubspaceProjection):
            module.unrolled = unrolled
    with torch.no_grad():
        return torch.export.export(Restoration(network).eval(), (image,), dynamic_shapes=(dims,))


def save_program(network: DGUNet, path: Path | str, observe: Observe | None = None) -> None:
    """Write the program of :func:`export_program` to ``path``, for ``torch.export.load``."""
    tell = observe or _silent
    tell(1, 2, "tracing the network")
    program = export_program(network)
    tell(2, 2, "writing the file")
    with atomic_path(Path(path)) as temporary:
        torch.export.save(program, temporary)


def export_onnx(network: DGUNet, path: Path | str, observe: Observe | None = None) -> None:
    """Write the network as an ONNX file with input "image" and output "restored".

    Sizes are dynamic as in :func:`export_program`. ONNX has no linear solver, so the 16 x 16
    systems of the subspace projection are unrolled into elementary operations. For a network of
    the paper this takes minutes.

    Args:
        network: the network.
        path: the file to write.
        observe: called before each step with its number, the number of steps and what it does.

    Raises:
        ConfigError: if the packages of the ``export`` extra are not installed, or for a network
            with ``proximal_domain="block"``.
    """
    if find_spec("onnxscript") is None:
        raise ConfigError(
            "ONNX export needs the package onnxscript.", "Run: pip install 'dgunet[export]'"
        )
    tell = observe or _silent
    tell(1, 4, "tracing the network")
    traced = export_program(network, unrolled=True)
    tell(2, 4, "translating it to ONNX")
    program = torch.onnx.export(
        traced,
        dynamo=True,
        input_names=["image"],
        output_names=["restored"],
        optimize=False,
        verbose=False,
    )
    assert program is not None
    tell(3, 4, f"simplifying {len(program.model.graph):,} operations")
    program.optimize()
    tell(4, 4, "writing the file")
    with atomic_path(Path(path)) as temporary:
        program.save(temporary, external_data=False)


def _silent(number: int, count: int, step: str) -> None:
    pass


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
