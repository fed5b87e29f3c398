"""An estimate as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from dgunet.costs.estimate import Estimate, MachineEstimate


def machine_lines(estimate: Estimate) -> list[str]:
    """Return a line for each machine: GPU-hours, money at the given price, source of the rate."""
    lines = [f"  {_line(estimate, each)}" for each in estimate.machines]
    if estimate.price is not None:
        lines.append(f"  price: {estimate.price}; storage and idle GPUs are not in it")
    return lines


def hours(count: float) -> str:
    """Format a number of GPU-hours.

    >>> hours(0.003214), hours(12_345.6)
    ('0.0032', '12,346')
    """
    return f"{count:,.0f}" if count >= 10 else f"{count:.2g}"


def table_lines(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> list[str]:
    """Return a table with columns of equal width, indented by two spaces."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        ("  " + "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True))).rstrip()
        for line in lines
    ]


def _line(estimate: Estimate, each: MachineEstimate) -> str:
    money = ""
    if estimate.price is not None and each.money is not None:
        money = f", {estimate.price.money(each.money)}"
    unit = "hours" if each.machine.is_cpu else "GPU-hours"
    total = f"{hours(each.hours)} {unit} in total{money}"
    return f"{each.machine.name}: {total} ({each.machine.assumption})"
