"""Our checkpoints: safetensors with the config, and whatever else is asked, in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from dgunet.network.config import DGUNetConfig
from dgunet.network.dgunet import DGUNet
from dgunet.network.header import read_header, unreadable
from dgunet.system.errors import CheckpointError, ConfigError
from dgunet.system.files import atomic_path
from dgunet.system.reading import parse_json, shorten

FORMAT = "dgunet-network-1"
METADATA = "dgunet"
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""What weights may be."""

_SHOWN = 5
"""Of each kind of keys that do not fit, so many are listed."""


def unique_parameters(network: DGUNet) -> dict[str, Tensor]:
    """The network's tensors by name, each once: a shared PReLU under its first name only."""
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def save_network(network: DGUNet, path: Path | str, extra: Mapping[str, str] | None = None) -> None:
    """Write ``network`` to ``path`` as safetensors, atomically and byte for byte reproducibly.

    The metadata is one JSON value under one name, because safetensors writes several names in an
    order that changes from run to run.

    Args:
        extra: further metadata, any names and texts.
    """
    header = {"format": FORMAT, "config": network.config.to_dict(), "extra": dict(extra or {})}
    metadata = {METADATA: json.dumps(header, sort_keys=True)}
    tensors = {n: t.cpu().contiguous() for n, t in unique_parameters(network).items()}
    with atomic_path(Path(path)) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata)


def load_network(path: Path | str) -> tuple[DGUNet, dict[str, str]]:
    """The network saved at ``path``, in evaluation mode on the CPU, and its other metadata.

    Names and shapes are compared before the network is made, so that a small file never asks for
    the memory of a large network.

    Raises:
        CheckpointError: if the file is not one of ours, or its tensors do not fit its config.
        ConfigError: if the config in it has missing or unknown fields, or values out of range.
    """
    path = Path(path)
    header = read_header(path)
    config, extra = _described(header.metadata, path)
    try:
        checked = DGUNetConfig.from_dict(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", error.hint) from error
    with torch.device("meta"):
        wanted = {n: tuple(p.shape) for n, p in DGUNet(checked).named_parameters()}
    compare_keys(wanted, header.shapes, str(path))
    tensors, _ = read_safetensors(path)
    _refuse_numbers(tensors, path)
    network = DGUNet(checked)
    fill(network, tensors, str(path))
    return network.eval(), extra


def _refuse_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that no training makes, such as whole numbers."""
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise CheckpointError(
                f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}.",
                "Weights are float32, float64, float16 or bfloat16.",
            )


def _described(metadata: Mapping[str, str], path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The config and the other texts in the metadata of a file of ours."""
    why = ""
    try:
        told = parse_json(metadata.get(METADATA, "{}"), "its metadata", kind=CheckpointError)
    except CheckpointError as error:
        told, why = None, f" ({error.message.removesuffix('.')})"
    if isinstance(told, dict) and told.get("format") == FORMAT:
        config, extra = told.get("config"), told.get("extra")
        if (
            isinstance(config, dict)
            and isinstance(extra, dict)
            and all(isinstance(value, str) for value in extra.values())
        ):
            return config, extra
    raise CheckpointError(f"{path} was not written by save_network{why}.", _IMPORT)


_IMPORT = "For the authors' checkpoints run `dgunet checkpoint import FILE`."


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of the safetensors file at ``path``.

    Raises:
        CheckpointError: if there is no such file, or it is not a whole safetensors file.
    """
    header = read_header(path)
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            return {name: handle.get_tensor(name) for name in header.shapes}, header.metadata
    except MemoryError:
        raise
    except Exception as error:  # the library's own, and torch's for what it cannot hold
        raise unreadable(path, error) from error


def fill(network: DGUNet, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy ``tensors`` into ``network``; names, shapes and coverage must agree exactly.

    The network takes the dtype of the tensors (float32 and float64 checkpoints both keep theirs).

    Raises:
        CheckpointError: listing missing, unexpected and misshapen keys of ``origin``.
    """
    compare_keys(shapes(dict(network.named_parameters())), shapes(tensors), origin)
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) == 1:
        network.to(dtypes.pop())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(tensors[name])


def compare_keys(
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    origin: str,
) -> None:
    """Refuse what was ``found`` unless its names and shapes are exactly ``wanted``.

    Raises:
        CheckpointError: with missing, unexpected and misshapen keys, the first five of each.
    """
    kinds = (
        [f"missing {key}" for key in wanted if key not in found],
        [f"unexpected {key}" for key in found if key not in wanted],
        [
            f"misshapen {key}: {found[key]} instead of {shape}"
            for key, shape in wanted.items()
            if key in found and found[key] != shape
        ],
    )
    count = sum(map(len, kinds))
    if count:
        told = [cut(problem) for problems in kinds for problem in problems[:_SHOWN]]
        told += [f"and {count - len(told)} more"] if count > len(told) else []
        raise CheckpointError(
            f"{origin} does not fit the network ({count} keys): {'; '.join(told)}.",
            "Check the task, the variant and the ratio.",
        )


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def cut(text: str, length: int = 120) -> str:
    """``text`` for an error, printable and at most ``length`` characters."""
    return shorten(text, length)[1:-1]
