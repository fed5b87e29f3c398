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

from dgunet.errors import CheckpointError, ConfigError
from dgunet.files import atomic_path
from dgunet.network.config import DGUNetConfig
from dgunet.network.dgunet import DGUNet

FORMAT = "dgunet-network-1"
METADATA = "dgunet"
_SHOWN = 5


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

    Raises:
        CheckpointError: if the file is not one of ours, or its tensors do not fit its config.
        ConfigError: if the config in it has missing or unknown fields.
    """
    tensors, metadata = read_safetensors(Path(path))
    config, extra = _header(metadata, path)
    try:
        network = DGUNet(DGUNetConfig.from_dict(config))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", error.mend) from error
    fill(network, tensors, str(path))
    return network.eval(), extra


def _header(metadata: Mapping[str, str], path: Path | str) -> tuple[dict[str, Any], dict[str, str]]:
    """The config and the other texts in the metadata of a file of ours."""
    try:
        header = json.loads(metadata.get(METADATA, "{}"))
        if header["format"] == FORMAT:
            return dict(header["config"]), dict(header["extra"])
    except (ValueError, KeyError, TypeError):
        pass
    raise CheckpointError(f"{path} was not written by save_network.", _IMPORT)


_IMPORT = "For the authors' checkpoints run `dgunet checkpoint import FILE`."


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of the safetensors file at ``path``.

    Raises:
        CheckpointError: if there is no such file, or it is not a whole safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as handle:
            names = list(handle.keys())
            return {n: handle.get_tensor(n) for n in names}, dict(handle.metadata() or {})
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.", "Check the path.") from error
    except (safetensors.SafetensorError, OSError) as error:
        foreign = path.suffix in (".pth", ".pkl", ".pt")
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}).",
            _IMPORT if foreign else "Copy or train it again.",
        ) from error


def fill(network: DGUNet, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy ``tensors`` into ``network``; names, shapes and coverage must agree exactly.

    The network takes the dtype of the tensors (float32 and float64 checkpoints both keep theirs).

    Raises:
        CheckpointError: listing missing, unexpected and misshapen keys of ``origin``.
    """
    compare_keys({n: tuple(p.shape) for n, p in network.named_parameters()}, tensors, origin)
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) == 1:
        network.to(dtypes.pop())
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(tensors[name])


def compare_keys(
    wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], origin: str
) -> None:
    """Refuse ``tensors`` unless their names and shapes are exactly ``wanted``.

    Raises:
        CheckpointError: with missing, unexpected and misshapen keys, the first five of each.
    """
    kinds = (
        [f"missing {key}" for key in wanted if key not in tensors],
        [f"unexpected {key}" for key in tensors if key not in wanted],
        [
            f"misshapen {key}: {tuple(tensors[key].shape)} instead of {shape}"
            for key, shape in wanted.items()
            if key in tensors and tuple(tensors[key].shape) != shape
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


def cut(text: str, length: int = 120) -> str:
    """``text`` for an error, at most ``length`` characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
