"""The step `ablate`: train and score one network of Tables 5 and 6 (Section 4.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgunet import network
from dgunet.config import Params
from dgunet.evaluation.network_evaluation import EvaluationRequest
from dgunet.evaluation.parity import published_networks
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.project import ablation_experiment
from dgunet.steps.evaluate import evaluate_and_report, options_from
from dgunet.steps.tracked_training import train_in_run, training_inputs, training_run
from dgunet.terms import ABLATION_SET, ABLATION_TASK, ABLATION_VARIANT, RunTags, ablation
from dgunet.tracking.reports.progress import show_verification
from dgunet.training.preparation import prepare_training


def run_ablation(
    params: Params, name: str, *, train_store: Path, test_store: Path, out: Path
) -> EvaluationSummary | None:
    """Train one ablation variant on deraining and score it on Rain100H, as one run in MLflow.

    Under ``torchrun`` all processes train; the leading one scores, and the others return None.

    Raises:
        ConfigError: for an unknown name; the message lists the nine.
    """
    show_verification()
    variant = ablation(name)
    changes: dict[str, Any] = dict(params.active.network) | dict(variant.changes)
    config = network.preset(
        ABLATION_TASK, ABLATION_VARIANT, architecture=params.architecture, **changes
    )
    inputs = training_inputs(
        params, params.active.ablate, config, key=f"ablation-{name}", store=train_store, out=out
    )
    prepared = prepare_training(inputs)
    tags = RunTags(
        "ablate",
        params.profile,
        ABLATION_TASK,
        ABLATION_VARIANT,
        dataset=ABLATION_SET,
        column=ABLATION_SET,
        row=name,
        tables=tuple(variant.columns),
    ).to_dict()
    experiment = ablation_experiment(variant)
    with training_run(prepared, experiment, name, tags=tags, params={"ablation": name}) as run:
        weights = train_in_run(prepared, run)
        if not inputs.process.leads:
            return None
        request = EvaluationRequest(
            dataset=ABLATION_SET,
            profile=params.profile,
            row=name,
            published=published_networks(ABLATION_TASK, ABLATION_VARIANT, **variant.changes),
            weights=weights,
            store=test_store,
            out=out,
            options=options_from(params),
        )
        return evaluate_and_report(request, run)
