"""Parameters and floating-point operations of networks, counted from the networks themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from dgunet.network.config import DGUNetConfig, preset
from dgunet.network.dgunet import DGUNet
from dgunet.terms import CS_RATIOS, TASKS, VARIANTS


@dataclass(frozen=True)
class Description:
    """Size and cost of one network.

    Attributes:
        config: the network.
        parameters: number of parameters, dormant ones included; shared ones count once.
        dormant: number of parameters that no output depends on.
        convolution_flops: floating-point operations of all convolutions.
        matrix_flops: floating-point operations of all matrix products.
        size: height and width of the image in pixels.
    """

    config: DGUNetConfig
    parameters: int
    dormant: int
    convolution_flops: int
    matrix_flops: int
    size: tuple[int, int]

    @property
    def flops(self) -> int:
        """Floating-point operations for one image; a multiplication with an addition counts as two.

        Convolutions and matrix products are counted. Normalisations, activations and the 16 x 16
        solves are not; together they are well below one percent.
        """
        return self.convolution_flops + self.matrix_flops


def describe_network(config: DGUNetConfig, size: tuple[int, int] = (256, 256)) -> Description:
    """Count the parameters and the operations for one image.

    The network runs on tensors without data, so nothing is computed.

    Args:
        config: the network.
        size: height and width of the image in pixels.
    """
    with FakeTensorMode(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = DGUNet(config).eval()
        network(torch.empty(1, config.channels, *size))
    counts = counter.get_flop_counts()["Global"]
    convolution = sum(n for op, n in counts.items() if "convolution" in str(op))
    parameters = list(network.parameters())
    return Description(
        config=config,
        parameters=sum(p.numel() for p in parameters),
        dormant=sum(p.numel() for p in parameters if not p.requires_grad),
        convolution_flops=convolution,
        matrix_flops=sum(counts.values()) - convolution,
        size=size,
    )


def paper_networks(
    tasks: Iterable[str] = TASKS, architecture: str = "released"
) -> list[DGUNetConfig]:
    """Return the paper's networks for ``tasks``: both variants, and all ratios in its tables.

    Raises:
        ConfigError: for an unknown task or architecture.
    """
    return [
        preset(task, variant, architecture=architecture, ratio=ratio)
        for task in tasks
        for variant in VARIANTS
        for ratio in (CS_RATIOS if task == "cs" else (None,))
    ]


def describe_markdown(descriptions: Iterable[Description]) -> str:
    """Format ``descriptions`` as a Markdown table."""
    lines = [
        "| Task | Network | Parameters | Unused parameters | GFLOPs | GFLOPs in matrix products |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for d in descriptions:
        ratio = "" if d.config.ratio is None else f" {d.config.ratio} %"
        lines.append(
            f"| {d.config.task}{ratio} | {d.config.variant} | {d.parameters:,} | {d.dormant:,} |"
            f" {d.flops / 1e9:,.3f} | {d.matrix_flops / 1e9:,.3f} |"
        )
    return "\n".join(lines) + "\n"
