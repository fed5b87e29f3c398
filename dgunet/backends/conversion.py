"""The backends by name, and the conversion of a network to one of them."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

import torch

from dgunet.backends import ncnn, onnx_runtime, openvino, torch_forms
from dgunet.backends.stages import BackendNetwork, Convert
from dgunet.network import DGUNet
from dgunet.system.errors import ConfigError, DgunetError, exhausts_memory
from dgunet.system.reading import shorten
from dgunet.terms import BACKENDS, EAGER

_CONVERT: dict[str, tuple[Convert, tuple[str, ...]]] = {
    "channels-last": (torch_forms.channels_last, ("torch",)),
    "compile": (torch_forms.compiled, ("torch",)),
    "onnxruntime": (onnx_runtime.convert, ("onnxruntime", "onnx")),
    "openvino": (openvino.convert, ("openvino", "onnx")),
    "ncnn": (ncnn.convert, ("ncnn",)),
}
"""How each backend but eager converts a stage, and its packages, the deciding one first."""

_OUTSIDE_TORCH = ("onnxruntime", "openvino", "ncnn")
"""Backends for the CPU alone; each has an extra of its name."""


def on_backend(network: DGUNet, backend: str) -> DGUNet:
    """Return the network on a backend; ``network`` itself for "eager".

    Args:
        network: a float32 network; it is not changed, and its weights may not change afterwards.
        backend: one of `dgunet.terms.BACKENDS`.

    Returns:
        A network for inference: its outputs have no gradients.

    Raises:
        ConfigError: for an unknown backend, a missing package, or a network that is not in
            float32 or, for a backend outside torch, not on the CPU.
        DgunetError: if the conversion fails.
    """
    if known_backend(backend) == EAGER:
        return network
    kind = next(network.parameters())
    if kind.dtype != torch.float32 or (kind.device.type != "cpu" and backend in _OUTSIDE_TORCH):
        raise ConfigError(
            f"backend {backend} computes in float32 on a CPU; the network is in "
            f"{str(kind.dtype).removeprefix('torch.')} on {kind.device}.",
            "Use --backend eager, or --device cpu.",
        )
    try:
        return BackendNetwork(network, backend, _CONVERT[backend][0])
    except (DgunetError, MemoryError):
        raise
    except Exception as error:  # converters raise errors of any type
        if exhausts_memory(error):
            raise
        raise DgunetError(
            f"backend {backend} cannot convert the network ({shorten(str(error))}).",
            "Use --backend eager.",
        ) from error


def known_backend(backend: str) -> str:
    """Return ``backend`` if there is such a backend and its packages are installed.

    Raises:
        ConfigError: if not.
    """
    if backend not in BACKENDS:
        raise ConfigError(
            f"backend {shorten(backend)} is unknown.", f"Use auto or one of {', '.join(BACKENDS)}."
        )
    if lacking := missing_packages(backend):
        raise ConfigError(
            f"backend {backend} needs the package {lacking[0]}.",
            f"Run: pip install 'dgunet[{backend}]'",
        )
    return backend


def missing_packages(backend: str) -> list[str]:
    """Return the packages of ``backend`` that are not installed."""
    packages = _CONVERT[backend][1] if backend in _CONVERT else ()
    return [name for name in packages if find_spec(name) is None]


def backend_version(backend: str) -> str:
    """Return name and version of what computes, such as "openvino-2026.4.1"; "eager" as it is."""
    if backend == EAGER:
        return backend
    package = _CONVERT[backend][1][0]
    return f"{backend}-{metadata.version(package).partition('+')[0]}"
