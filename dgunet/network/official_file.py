"""Reader of pickles in the authors' format, with or without wrapper and prefixed keys."""

from __future__ import annotations

import pickle
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dgunet.network.checkpoint import DTYPES
from dgunet.network.layers import SCALES
from dgunet.system.errors import CheckpointError
from dgunet.system.files import sha256_file
from dgunet.system.reading import shorten, shorten_bare

PREFIX = "module."
WRAPPERS = ("state_dict", "params_ema", "params")
"""Keys that may contain the state dict, in order of preference: the authors', then BasicSR's."""


@dataclass(frozen=True)
class OfficialFile:
    """Content of a checkpoint in the authors' format, without wrapper and prefix."""

    path: Path
    sha256: str
    tensors: dict[str, Tensor]
    wrapper: str
    """The key that held the state dict; "" if it was not wrapped."""
    prefix: str
    """``module.``, repeated as often as all keys started with it."""
    dropped: tuple[str, ...]
    """Keys of the fusion weights of stage 1, which only raw training files have."""


def read_official(path: Path | str) -> OfficialFile:
    """Read a pickle of the authors' format; only tensors and plain containers are unpickled.

    The state dict is bare or the value of one of `WRAPPERS`. All keys may start with ``module.``,
    once or several times.

    Raises:
        CheckpointError: if there is no such file, it has other content, or only some of its keys
            are prefixed.
    """
    path = Path(path)
    _check_file(path)
    content = _unpickle(path)
    wrapper = _wrapper(content)
    state = content[wrapper] if wrapper else content
    _check_state(path, state)
    prefix = _common_prefix(path, state)
    tensors = {key.removeprefix(prefix): value for key, value in state.items()}
    dropped = tuple(key for key in tensors if key in _STALE) if "Phi" not in tensors else ()
    tensors = {key: value for key, value in tensors.items() if key not in dropped}
    return OfficialFile(path, sha256_file(path), tensors, wrapper, prefix, dropped)


_HINT = "Use a .pth or .pkl file written by the authors' training or by checkpoint export."


def _unpickle(path: Path) -> Any:
    """Return the content of a pickle of tensors and plain containers.

    Raises:
        CheckpointError: if there is no such file, it is damaged, or it contains other objects.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.", "Check the path.") from error
    except pickle.UnpicklingError as error:  # torch's message advises unsafe loading
        raise CheckpointError(
            f"{path} cannot be read safely: {_refusal_reason(str(error))}.",
            "Save the weights alone: torch.save({'state_dict': network.state_dict()}, FILE).",
        ) from error
    except Exception as error:  # a damaged pickle may fail in any of its instructions
        first_line = str(error).partition("\n")[0]
        reason = shorten_bare(first_line, 120) if first_line else type(error).__name__
        raise CheckpointError(f"{path} cannot be read safely: {reason}.", _HINT) from error


def _check_state(path: Path, state: Any) -> None:
    """Refuse anything but a non-empty mapping from names to tensors of real numbers."""
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path} contains no state dict.", _HINT)
    if below := [key for key, value in state.items() if isinstance(value, Mapping)]:
        raise CheckpointError(
            f"{path}: {shorten_bare(str(below[0]), 120)} is a mapping, not a tensor.",
            f"If it contains the weights, save them bare, or under one of {', '.join(WRAPPERS)}.",
        )
    for key, value in state.items():
        if not isinstance(key, str):
            raise CheckpointError(f"{path}: the key {shorten(key)} is not a string.", _HINT)
        if not isinstance(value, Tensor) or value.dtype not in DTYPES or not _plain(value):
            shown = shorten_bare(key, 120)
            raise CheckpointError(f"{path}: {shown} is not a tensor of real numbers.", _HINT)


def _common_prefix(path: Path, state: Mapping[str, Tensor]) -> str:
    """Return ``module.``, repeated as often as all keys of ``state`` start with it.

    Raises:
        CheckpointError: if only some of the other keys start with it.
    """
    prefix = ""
    while all(key.startswith(prefix + PREFIX) for key in state):
        prefix += PREFIX
    if any(key.startswith(prefix + PREFIX) for key in state):
        raise CheckpointError(f"{path}: only some keys start with {prefix + PREFIX!r}.", _HINT)
    return prefix


def _check_file(path: Path) -> None:
    """Refuse files that could block the reader or unpack to more than their size."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} is not a regular file.", _HINT)
        with zipfile.ZipFile(path) as archive:
            packed = any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return  # missing, or not a zip file: torch reports it, or reads its older format
    if packed:
        raise CheckpointError(f"{path} is compressed, which torch never writes.", _HINT)


def _plain(tensor: Tensor) -> bool:
    """Whether the tensor is dense, on the CPU, and no element shares memory with another."""
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _wrapper(content: Any) -> str:
    """Return the key of `WRAPPERS` under which ``content`` has a state dict; "" for none."""
    found = (key for key in WRAPPERS if isinstance(content, Mapping) and key in content)
    return next((key for key in found if not isinstance(content[key], Tensor)), "")


def _refusal_reason(message: str) -> str:
    """Explain why torch refuses a pickle; ``message`` may name an object other than a tensor."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    if found is None:
        return "it is damaged, not a checkpoint, or contains more than tensors"
    kind = {"scalar": "a NumPy number, ", "_reconstruct": "a NumPy array, "}
    named = kind.get(found[1].rpartition(".")[2], "") if found[1].startswith("numpy.") else ""
    return f"besides tensors it contains {named}{shorten_bare(found[1], 120)}"


_STALE = frozenset(
    f"stage1_encoder.body.{i}.{module}.{leaf}"
    for i in range(SCALES)
    for module in ("csff_enc", "csff_dec", "phi", "gamma")
    for leaf in ("weight", "bias")
)
