"""Memory needed to restore a whole image, measured on a small probe, and free memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dgunet.backends.stages import BackendNetwork, eager_network
from dgunet.evaluation.networks import Network, TooLargeError, device_of
from dgunet.system.errors import exhausts_memory
from dgunet.system.machine_limits import free_memory, process_bytes, processors

_PROBE = 64
# Convolution libraries allocate workspace outside of tensors. The total was 1.46 and 1.51 times the
# bytes of the tensors for the released deraining DGUNet and deblurring DGUNet+ on a CPU.
_WORKSPACE = 1.6
# No variant of the paper exceeds this; images that fit by this bound need no measurement.
_MOST_BYTES_PER_PIXEL = 30_000
# Resident bytes beyond the counted tensors while strips were restored: 120 to 190 MB, measured.
_LIBRARIES = 256 * 2**20
# Address space that a new thread reserves for its stack and heap.
_THREAD = 136 * 2**20
_measured: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()
_unmeasured: WeakSet[nn.Module] = WeakSet()


# Memory of a backend as a multiple of eager's: openvino took 2.7 times and channels-last 1.5 times
# as much on a CPU (deraining DGUNet, 384x384); the others are bounded by the larger.
_BACKENDS = 3.0


def require_memory(network: Network, shape: tuple[int, ...], budget: int | None = None) -> None:
    """Refuse an image that does not fit into memory when it is restored whole.

    Args:
        network: restores the image; plain functions are not checked.
        shape: (H, W, C) of the image.
        budget: bytes that the restoration may take; None for the memory that is free now.

    Raises:
        TooLargeError: naming the estimate and the free memory.
    """
    if not isinstance(network, nn.Module):
        return
    pixels = shape[0] * shape[1]
    free = free_bytes(device_of(network)) if budget is None else budget
    if pixels * _MOST_BYTES_PER_PIXEL * _of_eager(network) < free:
        return
    needed = estimate(network, shape)
    if needed is None or needed > free:
        about = f"more than {free / 1e9:.2f}" if needed is None else f"about {needed / 1e9:.2f}"
        raise TooLargeError(
            f"an image of {shape[1]}x{shape[0]} needs {about} GB to be restored whole; "
            f"{free / 1e9:.2f} GB are {'free' if budget is None else 'allowed'}."
        )


def estimate(network: Network, shape: tuple[int, ...]) -> float | None:
    """Estimate the bytes that restoring an image (H, W, C) whole takes; None if unknown.

    Unknown for a plain function, and if there is not enough memory for the small probe. The probe
    is tried only once, because modules whose import was interrupted stay half imported.
    """
    if not isinstance(network, nn.Module) or network in _unmeasured:
        return None
    try:
        per_pixel = bytes_per_pixel(eager_network(network), shape[2])
        return shape[0] * shape[1] * per_pixel * _of_eager(network)
    except (RuntimeError, MemoryError, SystemError, ImportError) as error:
        if not exhausts_memory(error):
            raise
        _unmeasured.add(network)
        return None


def _of_eager(network: nn.Module) -> float:
    return _BACKENDS if isinstance(network, BackendNetwork) else 1.0


def free_bytes(device: torch.device) -> int:
    """Free bytes for new tensors on ``device``.

    On a CPU, see `dgunet.system.machine_limits.free_memory`.
    """
    if device.type == "cuda":
        # Memory that torch caches from earlier images is available to the next one.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return free_memory()


def bytes_left(limit: int, device: torch.device) -> int:
    """Bytes for the restoration of an image in a process that may take ``limit`` bytes in all.

    What the process takes now is subtracted, and what libraries take in addition to tensors. On a
    GPU the limit is one of its memory.
    """
    if device.type == "cuda":
        return limit - int(torch.cuda.memory_allocated(device))
    return limit - int(psutil.Process().memory_info().rss) - _LIBRARIES


def limit_now(device: torch.device) -> int:
    """The limit of this process under which `bytes_left` is the memory that is free now."""
    return free_bytes(device) + max(0, -bytes_left(0, device))


def settle_threads() -> str:
    """Start as many CPU threads as this process has processors and memory for.

    torch does not see the time quota of a container. The thread library aborts a process that
    reaches its limit (``ulimit -v``) while a thread starts, without an error that could be caught.

    Returns:
        A note if fewer threads are used than torch chose, else "".
    """
    chosen = torch.get_num_threads()
    threads, limited = min(chosen, processors()), "number of processors"
    left = min(process_bytes(), default=None)
    if left is not None and threads > 1 and left < 2 * threads * _THREAD:
        threads, limited = 1, "memory"
    if threads < chosen:
        torch.set_num_threads(threads)
    if left is not None and threads > 1:
        torch.ones(threads * 2**16).add_(1)  # large enough that every thread gets a part
    if threads == chosen:
        return ""
    used = f"{threads} thread{'s' if threads > 1 else ''} instead of {chosen}"
    return f"{used}: the {limited} of this process is limited"


def bytes_per_pixel(network: nn.Module, channels: int) -> float:
    """Peak activation memory of one forward pass per image pixel, measured on a small probe."""
    if network not in _measured:
        kind = next(network.parameters(), torch.empty(0))
        probe = torch.rand(1, channels, _PROBE, _PROBE, dtype=kind.dtype, device=kind.device)
        with torch.inference_mode(), LiveTensors() as live:
            network(probe)
        _measured[network] = _WORKSPACE * live.peak / _PROBE**2
    return _measured[network]


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tracks the bytes of live storages and their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._holders: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes a second

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
