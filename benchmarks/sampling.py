"""The seven sampling gradient steps of a forward pass for compressive sensing.

The baseline forms ``Phi^T Phi`` once and multiplies by it in every step, as in the authors' code;
`dgunet.network.operators.BlockSampling` multiplies by ``Phi`` and by its transpose.
"""

from __future__ import annotations

from typing import Any

from benchmarks.pairs import Pair, in_ways
from benchmarks.worker import Work
from dgunet.network.config import preset
from dgunet.terms import CS_RATIOS

STEPS = 7
SIDE = 256


def work(ratio: int, way: str, device: str) -> Work:
    """Seven steps with rho = 0.5 from Phi^T y on an image of 256 x 256 pixels."""
    import torch

    from benchmarks.literal_network import from_blocks, sampling_step, to_blocks
    from dgunet.network.operators import BlockSampling

    torch.manual_seed(0)
    operator = BlockSampling(preset("cs", ratio=ratio).measurements).requires_grad_(False)
    operator.to(device)
    image = torch.rand(1, 1, SIDE, SIDE).to(device)
    rho = torch.full((1,), 0.5, device=device)

    def literal() -> Any:
        phi = operator.phi
        start = torch.mm(torch.mm(to_blocks(image), phi.t()), phi)
        gram, x = torch.mm(phi.t(), phi), from_blocks(start, image)
        for _ in range(STEPS):
            x = sampling_step(x, rho, gram, start)
        return x

    def ours() -> Any:
        y = operator(image)
        x = operator.adjoint(y)
        for _ in range(STEPS):
            x = x - rho * operator.adjoint(operator(x) - y)
        return x

    run = {"literal": literal, "BlockSampling": ours}[way]
    return Work(run, lambda x: {"image": x.cpu().numpy()})


def pairs(device: str, *, quick: bool) -> list[Pair]:
    """One pair for each sampling ratio."""
    return [
        Pair(
            f"{ratio} %, {SIDE}x{SIDE}",
            *in_ways(
                "benchmarks.sampling:work",
                {"ratio": ratio, "device": device},
                *("literal", "BlockSampling"),
            ),
        )
        for ratio in (CS_RATIOS[:1] if quick else CS_RATIOS)
    ]
