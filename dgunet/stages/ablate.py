"""The nine networks of Tables 5 and 6: train on deraining, score on Rain100H (Section 4.6)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet import network
from dgunet.config import Params
from dgunet.errors import ConfigError
from dgunet.evaluation.runner import EvaluationSummary
from dgunet.stages.evaluate import evaluate_network
from dgunet.stages.layout import EXPERIMENTS
from dgunet.stages.train import fit_network
from dgunet.tracking import start_run

VARIANT = "DGUNet+"
"""All modifications are made on DGUNet+ (Section 4.6)."""

TEST_SET = "Rain100H"


@dataclass(frozen=True)
class Ablation:
    """One modified DGUNet+: the fields of its configuration that differ, and its table."""

    changes: dict[str, Any]
    table: int

    @property
    def experiment(self) -> str:
        """The MLflow experiment whose runs it is compared with."""
        return EXPERIMENTS["stages-and-scales" if self.table == 5 else "components"]


ABLATIONS = {
    "stages-9": Ablation({"stages": 9}, 5),
    "stages-7": Ablation({}, 5),
    "stages-5": Ablation({"stages": 5}, 5),
    "stages-3": Ablation({"stages": 3}, 5),
    "scales-2": Ablation({"scales": 2}, 5),
    "scales-1": Ablation({"scales": 1}, 5),
    "without-fgdm": Ablation({"gradient": False}, 6),
    "without-sp": Ablation({"fusion": "addition"}, 6),
    "without-isff": Ablation({"fusion": "none"}, 6),
}
"""``stages-7`` is the unmodified DGUNet+: seven stages, three scales, in both tables."""


def ablate(
    params: Params, name: str, *, train_store: Path, test_store: Path, out: Path
) -> EvaluationSummary:
    """Train and score one ablation variant, as one top-level MLflow run.

    Raises:
        ConfigError: for an unknown name; the message lists the nine.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"unknown ablation {name!r}.", f"Ablations are: {', '.join(ABLATIONS)}.")
    ablation = ABLATIONS[name]
    settings: dict[str, Any] = dict(params.active.network) | ablation.changes
    config = network.preset("derain", VARIANT, architecture=params.architecture, **settings)
    tags = {
        "stage": "ablate",
        "task": "derain",
        "dataset": TEST_SET,
        "column": TEST_SET,
        "variant": VARIANT,
        "row": name,
        "table": "5 6" if name == "stages-7" else str(ablation.table),
        "profile": params.profile,
    }
    with start_run(ablation.experiment, name, tags=tags, params={"ablation": name}) as run:
        weights = fit_network(
            params,
            params.active.ablate,
            config,
            key=f"ablation-{name}",
            store=train_store,
            out=out,
            run=run,
        )
        return evaluate_network(
            params,
            TEST_SET,
            row=name,
            variant=VARIANT,
            ratio=None,
            weights=weights,
            store=test_store,
            out=out,
            run=run,
        )
