"""Whole images through the released networks: the literal network beside ours on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.pairs import Pair, expected, in_ways
from benchmarks.worker import Work
from dgunet.network.config import DGUNetConfig, preset
from dgunet.network.describe import describe_network
from dgunet.terms import BACKENDS, VARIANTS

Call = Callable[[Any], Any]
"""Maps images (B, C, H, W) to the images of the stages, the last stage last."""

Factory = Callable[[Any], Call]
"""Makes the call of a candidate from a `DGUNet` in evaluation mode."""

BASELINE = "literal"
SIZES = ((128, 128), (256, 256), (320, 480), (512, 512))
"""Height and width in pixels."""

TOLERANCE = 2e-5
"""Largest difference from the literal network; not for a GPU, where bfloat16 differs."""

KILOBYTES = {"derain": 2.9, "deblur": 5.8, "cs": 2.9}
"""Memory of a forward pass for a pixel in float32; `PLUS` times that for the wide DGUNet+."""
PLUS = 3.1


GPU_BACKENDS = ("eager", "channels-last", "compile")
"""The backends that compute on a GPU."""


def candidates(device: str) -> Iterator[tuple[str, Factory]]:
    """Yield name and factory of every way to run a network on ``device``, the baseline first."""
    yield BASELINE, _literal
    for name in GPU_BACKENDS if device == "cuda" else BACKENDS:
        yield name, lambda network, name=name: _on_backend(network, name)
    if device == "cuda":
        yield from _switches()


def _literal(network: Any) -> Call:
    import torch

    from benchmarks.literal_network import literal_network
    from dgunet.network.official import official_state

    device = next(network.parameters()).device
    literal: torch.nn.Module = literal_network(network.config, official_state(network)).to(device)
    return literal


def _on_backend(network: Any, name: str) -> Call:
    from dgunet.backends import on_backend

    return on_backend(network, name)


def _switches() -> Iterator[tuple[str, Factory]]:
    """What a GPU offers beside the backends."""

    def switched(network: Any, *, precision: str, last: bool, mode: str | None) -> Call:
        import torch

        from benchmarks.precision import InPrecision

        network = network.to(memory_format=torch.channels_last) if last else network
        network = InPrecision(network, precision)
        run = torch.compile(network, mode=mode) if mode else network

        def call(y: Any) -> Any:
            return run(y.contiguous(memory_format=torch.channels_last) if last else y)

        return call

    for name, precision, last, mode in (
        ("CUDA graphs", "float32", False, "reduce-overhead"),
        ("TF32", "TF32", False, None),
        ("TF32, channels-last", "TF32", True, None),
        ("bfloat16", "bfloat16", False, None),
        ("bfloat16, channels-last", "bfloat16", True, None),
        ("bfloat16, channels-last, compile", "bfloat16", True, "default"),
        ("bfloat16, channels-last, CUDA graphs", "bfloat16", True, "reduce-overhead"),
    ):
        yield name, partial(switched, precision=precision, last=last, mode=mode)


def work(
    task: str, variant: str, size: tuple[int, int], way: str, device: str, **small: int
) -> Work:
    """One image of ``size`` through a network; ``small`` are fields of its configuration."""
    import torch

    torch.manual_seed(0)
    from dgunet.network import DGUNet
    from dgunet.network.kernels import kernels

    config = _config(task, variant, **small)
    network = DGUNet(config).eval().requires_grad_(False).to(device)
    call = dict(candidates(device))[way](network)
    del network
    y = smooth_noise(config.channels, *size).to(device)

    def run() -> Any:
        with kernels("fastest"), torch.inference_mode():
            return call(y)[-1]

    return Work(run, lambda image: {"image": image.float().cpu().numpy()})


def smooth_noise(channels: int, height: int, width: int) -> Any:
    """A reproducible image (1, C, H, W) in [0, 1]: smooth areas with noise."""
    import torch

    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, channels, height // 16, width // 16, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noise = torch.randn(smooth.shape, generator=generator)
    return (smooth + 0.05 * noise).clamp(0, 1)


def _config(task: str, variant: str, **small: int) -> DGUNetConfig:
    return preset(task, variant, ratio=10 if task == "cs" else None, **small)


def pairs(device: str, *, quick: bool) -> list[Pair]:
    """Deraining and deblurring at four sizes, compressive sensing at 256 x 256."""
    cases = [(task, v, size) for task in ("derain", "deblur") for v in VARIANTS for size in SIZES]
    cases += [("cs", variant, SIZES[1]) for variant in VARIANTS]
    if quick:
        cases = [case for case in cases if case[2] == SIZES[0] or case[0] == "cs"]
    names = [name for name, _ in candidates(device) if name != BASELINE]
    return [_pair(*case, name, device) for case in cases for name in names]


def _pair(task: str, variant: str, size: tuple[int, int], name: str, device: str) -> Pair:
    height, width = size
    arguments = {"task": task, "variant": variant, "size": size, "device": device}
    sides = in_ways("benchmarks.inference:work", arguments, BASELINE, name)
    config = _config(task, variant)
    flops = describe_network(config, size).flops
    wide = PLUS if (task, variant) == ("deblur", "DGUNet+") else 1
    memory = 2 * (2**30 + int(KILOBYTES[task] * 1000 * wide * height * width))
    label = f"{task} {config.ratio} %" if config.ratio else task
    case = f"{label} {variant}, {width}x{height}"
    return Pair(
        case,
        *sides,
        flops=flops,
        seconds=expected(flops),
        memory=memory if device == "cpu" else 0,
        tolerance=None if device == "cuda" else TOLERANCE,
    )
