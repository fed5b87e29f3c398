"""Time the network's forward pass and the sampling gradient step; prints a Markdown table.

Example: python benchmarks/network_speed.py --size 128 --repeats 5

Two alternatives are timed in turn (A B A B) and their medians reported: on a busy machine the ratio
of the two is more reliable than the times themselves.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from dgunet.network import DGUNet, preset
from dgunet.network.describe import describe_network
from dgunet.network.operators import BlockSampling


def milliseconds(call: Callable[[], object]) -> float:
    """Return the process time of one call in milliseconds, without time spent waiting."""
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


def compare(first: Callable[[], object], second: Callable[[], object], repeats: int) -> list[float]:
    """Return the median times of both in milliseconds, called in turn after one warm-up each."""
    first(), second()
    pairs = [(milliseconds(first), milliseconds(second)) for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*pairs, strict=True)]


def sampling(size: int, repeats: int) -> None:
    """Time Phi^T (Phi x - y) and (Phi^T Phi) x - Phi^T y; the product Phi^T Phi separately."""
    print("| Ratio | Phi^T(Phi x - y), ms | (Phi^T Phi) x - Phi^T y, ms | building Phi^T Phi, ms |")
    print("|---|---:|---:|---:|")
    for ratio in (1, 4, 10, 25, 50):
        operator = BlockSampling(preset("cs", ratio=ratio).measurements)
        x = torch.rand(1, 1, size, size)
        y = operator(x)
        gram, back = operator.phi.mT @ operator.phi, operator.adjoint(y)

        def two_products(x=x, y=y, operator=operator):
            return operator.adjoint(operator(x) - y)

        def precomputed(x=x, gram=gram, back=back, block=operator.block):
            blocks = F.pixel_unshuffle(x, block)
            product = (gram @ blocks.flatten(2)).unflatten(2, blocks.shape[2:])
            return F.pixel_shuffle(product, block) - back

        torch.testing.assert_close(two_products(), precomputed(), rtol=0, atol=1e-4)
        a, b = compare(two_products, precomputed, repeats)
        built = statistics.median(
            milliseconds(lambda phi=operator.phi: phi.mT @ phi) for _ in range(repeats)
        )
        print(f"| {ratio} % | {a:.3f} | {b:.3f} | {built:.3f} |")


def forward(size: int, repeats: int) -> None:
    """Time whole networks in the default and in the channels-last memory format."""
    print("| Network | default, ms | channels-last, ms | GFLOPs |")
    print("|---|---:|---:|---:|")
    for task, ratio in (("derain", None), ("cs", 10)):
        config = preset(task, ratio=ratio)
        network = DGUNet(config).eval()
        last = DGUNet(config).eval().to(memory_format=torch.channels_last)
        x = torch.rand(1, config.channels, size, size)
        a, b = compare(lambda n=network, x=x: n(x), lambda n=last, x=x: n(x), repeats)
        flops = describe_network(config, (size, size)).flops
        print(f"| {task} {config.variant} | {a:.0f} | {b:.0f} | {flops / 1e9:.1f} |")


def main() -> None:
    """Parse the arguments and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="side of the image, multiple of 32")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with torch.no_grad():
        sampling(arguments.size, 20 * arguments.repeats)
        print()
        forward(arguments.size, arguments.repeats)


if __name__ == "__main__":
    main()
