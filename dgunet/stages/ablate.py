"""The nine networks of Tables 5 and 6: train on deraining, score on Rain100H (Section 4.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgunet import network
from dgunet.config import Params
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.stages.ablations import TEST_SET, VARIANT, ablation
from dgunet.stages.evaluate import evaluate_network, papers_networks
from dgunet.stages.job import TrainingJob
from dgunet.stages.progress import show_verification


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
    settings: dict[str, Any] = dict(params.active.network) | chosen.changes
    config = network.preset("derain", VARIANT, architecture=params.architecture, **settings)
    tags = {
        "stage": "ablate",
        "task": "derain",
        "dataset": TEST_SET,
        "column": TEST_SET,
        "variant": VARIANT,
        "row": name,
        "table": "5 6" if name == "stages-7" else str(chosen.table),
        "profile": params.profile,
    }
    job = TrainingJob(
        params,
        params.active.ablate,
        config,
        key=f"ablation-{name}",
        store=train_store,
        out=out,
    )
    with job.start_run(chosen.experiment, name, tags=tags, params={"ablation": name}) as run:
        weights = job.fit(run)
        if not job.leads:
            return None
        return evaluate_network(
            params,
            TEST_SET,
            row=name,
            papers=papers_networks("derain", VARIANT, **chosen.changes),
            weights=weights,
            store=test_store,
            out=out,
            run=run,
        )
