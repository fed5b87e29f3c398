"""The nine networks of Tables 5 and 6: train on deraining, score on Rain100H (Section 4.6)."""

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
from dgunet.steps.training_job import TrainingJob
from dgunet.terms import (
    ABLATION_SET,
    ABLATION_TASK,
    ABLATION_VARIANT,
    RunTags,
    ablation,
)
from dgunet.tracking.reports.progress import show_verification


def ablate(
    params: Params, name: str, *, train_store: Path, test_store: Path, out: Path
) -> EvaluationSummary | None:
    """Train and score one ablation variant, as one top-level MLflow run.

    Under ``torchrun`` all processes train, and the leading one scores; the others return None.

    Raises:
        ConfigError: for an unknown name; the message lists the nine.
    """
    show_verification()
    chosen = ablation(name)
    settings: dict[str, Any] = dict(params.active.network) | dict(chosen.changes)
    config = network.preset(
        ABLATION_TASK, ABLATION_VARIANT, architecture=params.architecture, **settings
    )
    tags = RunTags(
        "ablate",
        params.profile,
        ABLATION_TASK,
        ABLATION_VARIANT,
        dataset=ABLATION_SET,
        column=ABLATION_SET,
        row=name,
        tables=tuple(chosen.columns),
    ).to_dict()
    job = TrainingJob(
        params,
        params.active.ablate,
        config,
        key=f"ablation-{name}",
        store=train_store,
        out=out,
    )
    with job.start_run(
        ablation_experiment(chosen), name, tags=tags, params={"ablation": name}
    ) as run:
        weights = job.fit(run)
        if not job.leads:
            return None
        request = EvaluationRequest(
            dataset=ABLATION_SET,
            profile=params.profile,
            row=name,
            published=published_networks(ABLATION_TASK, ABLATION_VARIANT, **chosen.changes),
            weights=weights,
            store=test_store,
            out=out,
            options=options_from(params),
        )
        return evaluate_and_report(request, run)
