"""Chains of 3x3 convolutions, 92 % of the time of a network, by the algorithms of three libraries.

They bound what a backend can gain: the whole network adds to each chain its normalisations, joins,
small kernels and, for ncnn, the conversion of its memory order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.pairs import Pair, expected, in_ways
from benchmarks.worker import Work

SHAPES = ((40, 128), (60, 64), (80, 32), (40, 256), (60, 128), (80, 64), (80, 128), (96, 256))
"""Channels and side: deraining of 128 and 256 pixels at three scales, then deblurring."""

LENGTH = 8


def work(channels: int, side: int, way: str, device: str) -> Work:
    """A chain of `LENGTH` convolutions that keep size and width, with bias and zero padding."""
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(channels, channels, 3, padding=1) for _ in range(LENGTH)]
    chain = torch.nn.Sequential(*layers).requires_grad_(False).to(device)
    call = {"eager": _eager, "channels-last": _channels_last, "ncnn": _ncnn}[way](chain)
    image = torch.rand(1, channels, side, side).to(device)

    def run() -> Any:
        with torch.inference_mode():
            return call(image)

    return Work(run, lambda z: {"features": z.contiguous().cpu().numpy()})


def _eager(chain: Any) -> Callable[[Any], Any]:
    call: Callable[[Any], Any] = chain
    return call


def _channels_last(chain: Any) -> Callable[[Any], Any]:
    import torch

    last = chain.to(memory_format=torch.channels_last)
    return lambda z: last(z.contiguous(memory_format=torch.channels_last))


def _ncnn(chain: Any) -> Callable[[Any], Any]:
    from dgunet.backends.ncnn import NcnnChain

    return NcnnChain(list(chain))


def pairs(device: str, *, quick: bool) -> list[Pair]:
    """One pair for each shape and algorithm; ncnn on a CPU only."""
    names = ("channels-last", "ncnn") if device == "cpu" else ("channels-last",)
    return [
        Pair(
            f"{channels} channels, {side}x{side}",
            *in_ways(
                "benchmarks.convolutions:work",
                {"channels": channels, "side": side, "device": device},
                *("eager", name),
            ),
            flops=(flops := LENGTH * 2 * 9 * channels**2 * side**2),
            seconds=expected(flops),
            tolerance=2e-5 if device == "cpu" else None,  # TF32 on a GPU
        )
        for channels, side in (SHAPES[:3] if quick else SHAPES)
        for name in names
    ]
