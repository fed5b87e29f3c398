"""The option ``--part`` of `dgunet evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dgunet.config import EvaluationParams
    from dgunet.evaluation.network_evaluation import EvaluationOptions
    from dgunet.steps.evaluation_plan import PlannedEvaluation

PartOption = Annotated[
    str | None,
    typer.Option("--part", help="score only a part of each set, e.g. 2/4: the second of four"),
]


def print_parts(
    params: EvaluationParams,
    wanted: Sequence[PlannedEvaluation],
    options: EvaluationOptions,
    text: str,
) -> None:
    """Score the part ``text`` of each planned evaluation, and print what is left of each."""
    from dgunet.steps.evaluate_part import evaluate_part
    from dgunet.system.parts import Part

    part = Part.parse(text)
    for each in wanted:
        for made in evaluate_part(params, each, options, part):
            typer.echo(made.line())
