"""The step `ablate`: train and score one network of Tables 5 and 6 (Section 4.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgunet import network
from dgunet.config import Params
from dgunet.evaluation.network_evaluation import EvaluationRequest
from dgunet.evaluation.parity import published_networks
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.project import ProjectFolders, ablation_experiment, model_key
from dgunet.steps.evaluate import evaluate_and_report, options_from
from dgunet.steps.tracked_training import train_in_run, training_inputs, training_run
from dgunet.system.errors import ConfigError
from dgunet.terms import (
    ABLATION_SET,
    ABLATION_TASK,
    ABLATION_VARIANT,
    RELEASED_ABLATIONS,
    RunTags,
    ablation,
)
from dgunet.tracking import start_run
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
    experiment, tags = ablation_experiment(variant), _tags(params, name)
    with training_run(prepared, experiment, name, tags=tags, params={}) as run:
        weights = train_in_run(prepared, run)
        if not inputs.process.leads:
            return None
        return evaluate_and_report(_request(params, name, weights, test_store, out), run)


def score_released_ablation(
    params: Params, name: str, *, weights: Path, test_store: Path, out: Path
) -> EvaluationSummary:
    """Score the authors' weights of one network of Tables 5 and 6 on Rain100H.

    Args:
        params: the project's parameters.
        name: one of `RELEASED_ABLATIONS`; the authors published no weights of the others.
        weights: the authors' DGUNet+ for deraining.
        test_store: the prepared Rain100H.
        out: folder of the results.

    Raises:
        ConfigError: for another network.
    """
    variant = ablation(name)
    if name not in RELEASED_ABLATIONS:
        raise ConfigError(
            f"the authors published no weights of {name}.",
            "Set `weights: trained` in params.yaml to train it.",
        )
    show_verification()
    title = f"evaluate {name}, released"
    with start_run(ablation_experiment(variant), title, tags=_tags(params, name), params={}) as run:
        return evaluate_and_report(_request(params, name, weights, test_store, out), run)


def released_plus(here: ProjectFolders) -> Path:
    """The place of the authors' DGUNet+ for deraining."""
    key = model_key(ABLATION_TASK, ABLATION_VARIANT)
    return here.using("released").model(key) / "network.safetensors"


def _tags(params: Params, name: str) -> dict[str, str]:
    return RunTags(
        "ablate",
        params.profile,
        ABLATION_TASK,
        ABLATION_VARIANT,
        dataset=ABLATION_SET,
        row=name,
        tables=tuple(ablation(name).columns),
    ).to_dict()


def _request(
    params: Params, name: str, weights: Path, test_store: Path, out: Path
) -> EvaluationRequest:
    changes = ablation(name).changes
    return EvaluationRequest(
        dataset=ABLATION_SET,
        profile=params.profile,
        row=name,
        published=published_networks(ABLATION_TASK, ABLATION_VARIANT, **changes),
        weights=weights,
        store=test_store,
        out=out,
        options=options_from(params),
    )
