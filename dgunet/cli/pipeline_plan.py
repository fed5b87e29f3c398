"""Prints the plan of a run on a cluster, for `plan` and for `submit --dry-run`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from dgunet.kubeflow.cluster.settings import Cluster


@dataclass(frozen=True)
class PlanOptions:
    """The options of the same names."""

    gpu: str | None = None
    tflops: float | None = None
    calibration: Path | None = None
    quota: int | None = None
    price: float | None = None
    currency: str | None = None
    as_json: bool = False


def print_plan(
    text: str, cluster: Cluster, arguments: Mapping[str, Any], options: PlanOptions
) -> None:
    """Print the plan of a run of the compiled pipeline ``text``, as text or as JSON."""
    from dgunet.costs.calibration import compared_machines
    from dgunet.costs.estimate import given_price
    from dgunet.kubeflow.pipeline.compiling import documents, version_name
    from dgunet.kubeflow.submission.plan import submission_plan
    from dgunet.kubeflow.submission.plan_text import plan_text

    plan = submission_plan(
        *documents(text),
        arguments,
        version=version_name(text),
        machines=compared_machines(options.gpu, options.tflops, options.calibration),
        quota=options.quota,
        price=given_price(options.price, options.currency),
        cluster=cluster,
    )
    typer.echo(json.dumps(plan.content(), indent=2) if options.as_json else plan_text(plan))
