"""Parameters and floating-point operations of networks, computed from their structure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dgunet.network.config import DGUNetConfig, preset
from dgunet.network.size import count_dormant, count_operations, count_parameters
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
        """Floating-point operations for one image, see `dgunet.network.size.count_operations`."""
        return self.convolution_flops + self.matrix_flops


def describe_network(config: DGUNetConfig, size: tuple[int, int] = (256, 256)) -> Description:
    """Count the parameters and the operations for one image, without building the network.

    Args:
        config: the network.
        size: height and width of the image in pixels.
    """
    return Description(
        config=config,
        parameters=count_parameters(config),
        dormant=count_dormant(config),
        convolution_flops=count_operations(config, *size, "convolution"),
        matrix_flops=count_operations(config, *size, "product"),
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
