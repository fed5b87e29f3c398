"""Reading a pickle of the authors' format: whatever wraps the state dict or prefixes its keys."""

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

from dgunet.network.checkpoint import DTYPES, cut
from dgunet.network.size import SCALES
from dgunet.system.errors import CheckpointError
from dgunet.system.files import sha256_file

PREFIX = "module."
WRAPPERS = ("state_dict", "params_ema", "params")
"""Keys a state dict lies under, the first found counts: the authors', and BasicSR's two."""


@dataclass(frozen=True)
class OfficialFile:
    """A checkpoint of the authors' format as read: prefix and wrapper taken off."""

    path: Path
    sha256: str
    tensors: dict[str, Tensor]
    wrapper: str
    """The key that the state dict lay under; "" for a bare one."""
    prefix: str
    """``module.`` as often as every key began with it."""
    dropped: tuple[str, ...]
    """Stage 1 fusion weights of raw training files; the released networks do not have them."""


def read_official(path: Path | str) -> OfficialFile:
    """Read a pickle of the authors' format; only tensors and plain containers are unpickled.

    The state dict is bare or lies under one of `WRAPPERS`; all keys may begin with ``module.``,
    any number of times.

    Raises:
        CheckpointError: if the file is missing, holds anything else, or mixes prefixes.
    """
    path = Path(path)
    hint = "Give a .pth or .pkl file written by the authors' training or by checkpoint export."
    _check_file(path, hint)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.", "Check the path.") from error
    except pickle.UnpicklingError as error:  # its own words advise to read the file unsafely
        raise CheckpointError(
            f"{path} cannot be read safely: {_foreign(str(error))}.",
            "Save the weights alone: torch.save({'state_dict': network.state_dict()}, FILE).",
        ) from error
    except Exception as error:  # a damaged pickle may fail in any of its instructions
        reason = cut(str(error).splitlines()[0]) if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read safely: {reason}.", hint) from error
    wrapper = _wrapper(content)
    state = content[wrapper] if wrapper else content
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"{path} holds no state dict.", hint)
    if below := [key for key, value in state.items() if isinstance(value, Mapping)]:
        raise CheckpointError(
            f"{path}: {cut(str(below[0]))} is a mapping, not a tensor.",
            f"If the weights lie under it, save them bare, or under one of {', '.join(WRAPPERS)}.",
        )
    for key, value in state.items():
        if not isinstance(key, str):
            raise CheckpointError(f"{path}: the key {cut(repr(key))} is not a name.", hint)
        if not isinstance(value, Tensor) or value.dtype not in DTYPES or not _plain(value):
            raise CheckpointError(f"{path}: {cut(key)} is not a tensor of real numbers.", hint)
    prefix = ""
    while all(key.startswith(prefix + PREFIX) for key in state):
        prefix += PREFIX
    if any(key.startswith(prefix + PREFIX) for key in state):
        raise CheckpointError(f"{path}: only some keys start with {prefix + PREFIX!r}.", hint)
    tensors = {key.removeprefix(prefix): value for key, value in state.items()}
    dropped = tuple(key for key in tensors if key in _STALE) if "Phi" not in tensors else ()
    tensors = {key: value for key, value in tensors.items() if key not in dropped}
    return OfficialFile(path, sha256_file(path), tensors, wrapper, prefix, dropped)


def _check_file(path: Path, hint: str) -> None:
    """Refuse what could block for ever, or unpacks to more than it is."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} is not a regular file.", hint)
        with zipfile.ZipFile(path) as archive:
            packed = any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return  # not there, or no zip: torch says so, or reads its older format
    if packed:
        raise CheckpointError(f"{path} is compressed, as torch never writes it.", hint)


def _plain(tensor: Tensor) -> bool:
    """Whether the numbers lie in memory as they are: not sparse, and none of them twice."""
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _wrapper(content: Any) -> str:
    """The key under which ``content`` holds the state dict; "" for none of `WRAPPERS`."""
    found = (key for key in WRAPPERS if isinstance(content, Mapping) and key in content)
    return next((key for key in found if not isinstance(content[key], Tensor)), "")


def _foreign(words: str) -> str:
    """Why torch refuses a pickle: what it holds beside tensors, if torch names it."""
    found = re.search(r"GLOBAL ([\w.]+)", words)
    if found is None:
        return "it is damaged, no checkpoint, or holds more than tensors"
    kind = {"scalar": "a number of numpy, ", "_reconstruct": "an array of numpy, "}
    named = kind.get(found[1].rpartition(".")[2], "") if found[1].startswith("numpy.") else ""
    return f"beside tensors it holds {named}{cut(found[1])}"


_STALE = frozenset(
    f"stage1_encoder.body.{i}.{module}.{leaf}"
    for i in range(SCALES)
    for module in ("csff_enc", "csff_dec", "phi", "gamma")
    for leaf in ("weight", "bias")
)
