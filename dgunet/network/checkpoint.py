"""Checkpoints of this project: safetensors files with the configuration in their metadata."""

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
from dgunet.system.reading import parse_json, shorten_bare

FORMAT = "dgunet-network-1"
METADATA = "dgunet"
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""Data types that weights may have."""

_SHOWN = 5
"""Number of keys that an error lists for each kind of mismatch."""


def unique_parameters(network: DGUNet) -> dict[str, Tensor]:
    """Return the network's parameters by name; a shared PReLU has only its first name."""
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def save_network(network: DGUNet, path: Path | str, extra: Mapping[str, str] | None = None) -> None:
    """Write ``network`` to ``path`` as safetensors, atomically; equal networks give equal bytes.

    The metadata is one JSON value under one name, because safetensors writes several names in an
    order that varies between runs.

    Args:
        network: the network.
        path: the file to write.
        extra: further metadata, as strings by name.

    Raises:
        DgunetError: if the file cannot be written.
    """
    header = {"format": FORMAT, "config": network.config.to_dict(), "extra": dict(extra or {})}
    metadata = {METADATA: json.dumps(header, sort_keys=True)}
    tensors = {n: t.cpu().contiguous() for n, t in unique_parameters(network).items()}
    with atomic_path(Path(path)) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata)


def load_network(path: Path | str) -> tuple[DGUNet, dict[str, str]]:
    """Load the network saved at ``path``.

    Names and shapes are compared before the network is allocated, so that a small file cannot
    cause the allocation of a large network.

    Returns:
        The network, in evaluation mode on the CPU, and the ``extra`` metadata it was saved with.

    Raises:
        CheckpointError: if :func:`save_network` did not write the file, or its tensors do not fit
            its configuration.
        ConfigError: if its configuration has missing or unknown fields, or values out of range.
    """
    path = Path(path)
    header = read_header(path)
    config, extra = _parse_metadata(header.metadata, path)
    try:
        checked = DGUNetConfig.from_dict(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", error.hint) from error
    with torch.device("meta"):
        wanted = {n: tuple(p.shape) for n, p in DGUNet(checked).named_parameters()}
    compare_keys(wanted, header.shapes, str(path))
    tensors, _ = read_safetensors(path)
    _check_dtypes(tensors, path)
    network = DGUNet(checked)
    fill(network, tensors, str(path))
    return network.eval(), extra


def _check_dtypes(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights of a data type that is not in `DTYPES`, such as integers."""
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise CheckpointError(
                f"{path}: {name} has type {str(tensor.dtype).removeprefix('torch.')}.",
                "Weights must be float32, float64, float16 or bfloat16.",
            )


def _parse_metadata(
    metadata: Mapping[str, str], path: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the configuration and the extra metadata that :func:`save_network` wrote."""
    why = ""
    try:
        parsed = parse_json(metadata.get(METADATA, "{}"), "its metadata", kind=CheckpointError)
    except CheckpointError as error:
        parsed, why = None, f" ({error.message.removesuffix('.')})"
    if isinstance(parsed, dict) and parsed.get("format") == FORMAT:
        config, extra = parsed.get("config"), parsed.get("extra")
        if (
            isinstance(config, dict)
            and isinstance(extra, dict)
            and all(isinstance(value, str) for value in extra.values())
        ):
            return config, extra
    raise CheckpointError(f"{path} was not written by save_network{why}.", _IMPORT)


_IMPORT = "For the authors' checkpoints run `dgunet checkpoint import FILE`."


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors and the metadata of the safetensors file at ``path``.

    Raises:
        CheckpointError: if there is no such file, or it is not a complete safetensors file.
    """
    header = read_header(path)
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            return {name: handle.get_tensor(name) for name in header.shapes}, header.metadata
    except MemoryError:
        raise
    except Exception as error:  # safetensors' own errors, and torch's for unsupported types
        raise unreadable(path, error) from error


def fill(network: DGUNet, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy ``tensors`` into ``network``; names and shapes must match its parameters exactly.

    The network is converted to the data type of the tensors if they share one.

    Args:
        network: the network to change.
        tensors: one tensor for each parameter, by name.
        origin: where the tensors come from, for errors.

    Raises:
        CheckpointError: if they do not match; see :func:`compare_keys`.
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
    """Check that the names and shapes in a checkpoint match those of a network.

    Args:
        wanted: shapes of the network's parameters, by name.
        found: shapes of the checkpoint's tensors, by name.
        origin: the checkpoint, for errors.

    Raises:
        CheckpointError: listing the first five missing, unexpected and misshapen keys.
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
        listed = [shorten_bare(p, 120) for problems in kinds for p in problems[:_SHOWN]]
        listed += [f"and {count - len(listed)} more"] if count > len(listed) else []
        raise CheckpointError(
            f"{origin} does not fit the network ({count} keys): {'; '.join(listed)}.",
            "Check the task, the variant and the sampling ratio.",
        )


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor, by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
