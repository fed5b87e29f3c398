"""Whether a whole image fits: measured on a small probe before a large image is tried."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dgunet.errors import EvaluationError
from dgunet.evaluation.restoration import Network, device_of

_PROBE = 64
# Convolution libraries take workspace that no tensor shows: 1.46 and 1.51 times as much in all
# for the released deraining DGUNet and deblurring DGUNet+ on a CPU.
_WORKSPACE = 1.6
# No variant of the paper exceeds this; below it nothing needs measuring.
_MOST_BYTES_PER_PIXEL = 30_000
_measured: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()


def fits(network: Network, shape: tuple[int, ...]) -> bool:
    """Whether an image (H, W, C) can be restored whole; plain functions are not checked."""
    return _shortage(network, shape) is None


def require_memory(network: Network, shape: tuple[int, ...], name: str) -> None:
    """Refuse an image whose whole restoration would not fit.

    Args:
        network: the network about to restore it; plain functions are not checked.
        shape: (H, W, C) of the image.
        name: of the image, for the message.

    Raises:
        EvaluationError: naming the estimate, what is free, and the tile mode.
    """
    if shortage := _shortage(network, shape):
        needed, free = shortage
        raise EvaluationError(
            f"{name} ({shape[1]}x{shape[0]}) needs about {needed / 1e9:.1f} GB to be restored "
            f"whole, {free / 1e9:.1f} GB are free.",
            "Use a machine with more memory, or ask for tiles (--tile 512), whose result differs "
            "and is marked as not comparable.",
        )


def _shortage(network: Network, shape: tuple[int, ...]) -> tuple[float, int] | None:
    """Bytes needed and free, if an image is too large to be restored whole."""
    if not isinstance(network, nn.Module):
        return None
    pixels = shape[0] * shape[1]
    free = free_bytes(device_of(network))
    if pixels * _MOST_BYTES_PER_PIXEL < free:
        return None
    needed = pixels * bytes_per_pixel(network, shape[2])
    return (needed, free) if needed > free else None


def free_bytes(device: torch.device) -> int:
    """Memory that a new tensor on ``device`` may take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def bytes_per_pixel(network: nn.Module, channels: int) -> float:
    """Peak activation memory of one forward pass per image pixel, measured on a small probe."""
    if network not in _measured:
        probe = torch.rand(1, channels, _PROBE, _PROBE, device=device_of(network))
        with torch.inference_mode(), _LiveTensors() as live:
            network(probe)
        _measured[network] = _WORKSPACE * live.peak / _PROBE**2
    return _measured[network]


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages made under it, drops those that die, remembers the peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._holders: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._hold(tensor)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key not in self._holders:
            self._holders[key] = 0
            self._now += size
            self.peak = max(self.peak, self._now)
        self._holders[key] += 1
        weakref.finalize(tensor, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self._now -= size
