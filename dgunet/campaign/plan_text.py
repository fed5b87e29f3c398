"""The plan of a campaign as text: cells, steps with their cost, and the machines assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from dgunet.campaign.plan import CampaignPlan, PlannedCell, PlannedStep
from dgunet.costs.estimate import Estimate
from dgunet.costs.estimate_text import machine_lines
from dgunet.costs.formats import duration, size

FORMAT = 1
"""Version of the JSON object; a field that is renamed or removed increases it."""

LINE = 12.5e6
"""Bytes per second of the connection that the time of the downloads is stated for."""


def plan_text(plan: CampaignPlan, estimate: Estimate) -> str:
    """The plan, to be read before anything is done.

    Args:
        plan: what `dgunet.campaign.plan.plan_campaign` returned.
        estimate: its `CampaignPlan.estimate`, for this machine if it was measured, and for those to
            compare it with.
    """
    parts = [_head(plan), _cells(plan.cells), _steps(plan, estimate)]
    if estimate.machines:
        head = "one machine or GPU of each kind, on counted operations:"
        parts.append("\n".join([head, *machine_lines(estimate)]))
    return "\n\n".join(part for part in parts if part)


def plan_content(plan: CampaignPlan, estimate: Estimate) -> dict[str, Any]:
    """The plan as a JSON object, from the same values as `plan_text`; docs/costs.md has its fields.

    Args:
        plan: what `dgunet.campaign.plan.plan_campaign` returned.
        estimate: its `CampaignPlan.estimate`.
    """
    campaign = plan.campaign
    return {
        "format": FORMAT,
        "weights": str(campaign.checkpoint or campaign.weights),
        "profile": campaign.profile,
        "folder": str(plan.here.build),
        "steps": [
            {
                "step": step.kind,
                "name": step.subject,
                "present": step.present,
                "download_bytes": step.download,
                "disk_bytes": step.disk,
                "memory_bytes": step.memory,
                "note": step.note,
            }
            for step in plan.steps
        ],
        "cells": [
            {
                "cell": planned.cell.name,
                "values": len(planned.cell.metrics),
                "outcome": planned.outcome,
                "reason": planned.reason,
            }
            for planned in plan.cells
        ],
        "storage": {"disk_bytes": sum(step.disk or 0 for step in plan.todo)},
        "estimate": estimate.content(),
    }


def _head(plan: CampaignPlan) -> str:
    campaign = plan.campaign
    weights = campaign.checkpoint or campaign.weights
    return "\n".join(
        [
            f"campaign  weights {weights}, profile {campaign.profile}",
            f"folder    {plan.here.build}",
            f"data      {plan.here.data(campaign.profile)}",
            f"steps     {len(plan.steps)}, of which {len(plan.todo)} are to be done",
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


def _steps(plan: CampaignPlan, estimate: Estimate) -> str:
    machines = estimate.machines
    heads = ["step", "download", "disk", "memory", *(m.machine.name for m in machines), "note"]
    columns = zip(*(each.seconds for each in machines), strict=True)
    of_todo = iter(columns if machines else [() for _ in plan.todo])
    rows = [
        [step.name, *[""] * (3 + len(machines)), "is there"]
        if step.present
        else _row(step, next(of_todo))
        for step in plan.steps
    ]
    todo = plan.todo
    total = ["in all", _bytes([step.download for step in todo])]
    total += [_bytes([step.disk for step in todo]), _most([step.memory for step in todo])]
    total += [duration(each.wall or 0) for each in machines]
    table = tabulate([*rows, [*total, ""]], heads, tablefmt="simple", disable_numparse=True)
    known = sum(step.download or 0 for step in todo)
    lines = [table]
    if known:
        lines.append(f"downloads take {duration(known / LINE)} at 100 Mbit/s (assumed)")
    return "\n".join(lines)


def _row(step: PlannedStep, seconds: Sequence[float]) -> list[str]:
    times = [duration(each) if each else "" for each in seconds]
    memory = size(step.memory) if step.memory else "" if step.memory == 0 else "not estimated"
    return [step.name, _size(step.download), _size(step.disk), memory, *times, step.note]


def _size(count: int | None) -> str:
    return "not stated" if count is None else size(count) if count else ""


def _bytes(counts: Sequence[int | None]) -> str:
    text = size(sum(count or 0 for count in counts))
    unknown = sum(count is None for count in counts)
    return f"{text} + {unknown} not stated" if unknown else text


def _most(counts: Sequence[int | None]) -> str:
    known = [count for count in counts if count]
    return f"at most {size(max(known))}" if known else ""
