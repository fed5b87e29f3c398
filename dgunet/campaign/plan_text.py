"""The plan of a campaign as text: cells, steps with their cost, and the machines assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tabulate import tabulate

from dgunet.campaign.plan import CampaignPlan, PlannedCell, PlannedStep
from dgunet.costs.formats import duration, size
from dgunet.costs.machines import Machine

LINE = 12.5e6
"""Bytes per second of the connection that the time of the downloads is stated for."""


def plan_text(plan: CampaignPlan, machines: Sequence[Machine]) -> str:
    """The plan, to be read before anything is done.

    Args:
        plan: what `dgunet.campaign.plan.plan_campaign` returned.
        machines: this machine if it was probed, and those to compare it with.
    """
    parts = [_head(plan), _cells(plan.cells), _steps(plan, machines), _machines(machines)]
    return "\n\n".join(part for part in parts if part)


def _head(plan: CampaignPlan) -> str:
    campaign = plan.campaign
    weights = campaign.checkpoint or campaign.weights
    missing = sum(not step.present for step in plan.steps)
    return "\n".join(
        [
            f"campaign  weights {weights}, profile {campaign.profile}",
            f"folder    {plan.here.build}",
            f"data      {plan.here.data(campaign.profile)}",
            f"steps     {len(plan.steps)}, of which {missing} are to be done",
        ]
    )


def _cells(cells: Sequence[PlannedCell]) -> str:
    values: Counter[str] = Counter()
    reasons: dict[tuple[str, str], list[str]] = {}
    for planned in cells:
        values[planned.outcome] += len(planned.cell.metrics)
        if planned.reason:
            key = (planned.outcome, planned.reason)
            reasons.setdefault(key, []).append(planned.cell.name)
    lines = [f"values    {values.total()} wanted: fills {values['fills']}"]
    for outcome, verb in (("waiting", "leaves waiting"), ("not", "cannot fill")):
        if values[outcome]:
            lines[0] += f", {verb} {values[outcome]}"
    for (outcome, reason), names in reasons.items():
        verb = "waiting" if outcome == "waiting" else "not filled"
        lines += [f"  {verb}: {reason}", *(f"    {name}" for name in names)]
    return "\n".join(lines)


def _steps(plan: CampaignPlan, machines: Sequence[Machine]) -> str:
    heads = ["step", "download", "disk", "memory", *(m.name for m in machines), "note"]
    rows = [_row(step, machines) for step in plan.steps]
    todo = [step for step in plan.steps if not step.present]
    total = ["in all", _bytes([step.download for step in todo])]
    total += [_bytes([step.disk for step in todo]), _most([step.memory for step in todo])]
    total += [duration(sum(_seconds(step, machine) for step in todo)) for machine in machines]
    table = tabulate([*rows, [*total, ""]], heads, tablefmt="simple", disable_numparse=True)
    known = sum(step.download or 0 for step in todo)
    lines = [table]
    if known:
        lines.append(f"downloads take {duration(known / LINE)} at 100 Mbit/s (assumed)")
    return "\n".join(lines)


def _row(step: PlannedStep, machines: Sequence[Machine]) -> list[str]:
    if step.present:
        return [step.name, *[""] * (3 + len(machines)), "is there"]
    times = [
        duration(seconds) if (seconds := _seconds(step, machine)) else "" for machine in machines
    ]
    memory = size(step.memory) if step.memory else "" if step.memory == 0 else "not estimated"
    return [step.name, _size(step.download), _size(step.disk), memory, *times, step.note]


def _seconds(step: PlannedStep, machine: Machine) -> float:
    return machine.seconds(step.operations) + step.other_seconds


def _size(count: int | None) -> str:
    return "not stated" if count is None else size(count) if count else ""


def _bytes(counts: Sequence[int | None]) -> str:
    text = size(sum(count or 0 for count in counts))
    unknown = sum(count is None for count in counts)
    return f"{text} + {unknown} not stated" if unknown else text


def _most(counts: Sequence[int | None]) -> str:
    known = [count for count in counts if count]
    return f"at most {size(max(known))}" if known else ""


def _machines(machines: Sequence[Machine]) -> str:
    if not machines:
        return ""
    lines = ["one machine or GPU of each kind, on counted operations:"]
    return "\n".join([*lines, *(f"  {m.name}: {m.assumption}" for m in machines)])
