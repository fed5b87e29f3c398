"""Parameters and operations of every variant, counted from the network itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from dgunet.network.config import DGUNetConfig, preset
from dgunet.network.dgunet import DGUNet
from dgunet.terms import TASKS, VARIANTS


@dataclass(frozen=True)
class Description:
    """What one network costs."""

    config: DGUNetConfig
    parameters: int
    """Unique parameters, the dormant ones included."""
    dormant: int
    convolution_flops: int
    matrix_flops: int
    size: tuple[int, int]

    @property
    def flops(self) -> int:
        """Floating-point operations of one image, two for a multiplication with addition.

        Convolutions and matrix products; normalisations, activations and the 16 x 16 solves,
        well below one percent, are not counted.
        """
        return self.convolution_flops + self.matrix_flops


def describe(config: DGUNetConfig, size: tuple[int, int] = (256, 256)) -> Description:
    """Count the parameters and the operations for one image of ``size`` (height, width).

    Nothing is computed: the network runs on tensors without data.
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


def variants(tasks: Iterable[str] = TASKS, architecture: str = "released") -> list[DGUNetConfig]:
    """The configs of the paper's networks for ``tasks``, both variants, all ratios it reports."""
    return [
        preset(task, variant, architecture=architecture, ratio=ratio)
        for task in tasks
        for variant in VARIANTS
        for ratio in ((1, 4, 10, 25, 50) if task == "cs" else (None,))
    ]


def describe_markdown(descriptions: Iterable[Description]) -> str:
    """A Markdown table of ``descriptions``."""
    lines = [
        "| Task | Network | Parameters | of these unused | GFLOPs | of these matrix products |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for d in descriptions:
        ratio = "" if d.config.ratio is None else f" {d.config.ratio} %"
        lines.append(
            f"| {d.config.task}{ratio} | {d.config.variant} | {d.parameters:,} | {d.dormant:,} |"
            f" {d.flops / 1e9:,.3f} | {d.matrix_flops / 1e9:,.3f} |"
        )
    return "\n".join(lines) + "\n"
