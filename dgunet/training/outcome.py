"""Files of a finished training run besides its weights: curves, selection, skipped steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dgunet.config import ValidationSettings
from dgunet.system import files
from dgunet.training.curve import TrainingResult


@dataclass(frozen=True)
class Selection:
    """Model selection of a training run.

    Attributes:
        how: ``last`` (the last weights), or selected on ``held-out`` pairs or on a ``test-set``.
        step: number of optimiser steps after which the weights were taken.
        set: name of the test set, or empty.
        digest: digest of the validation data, or empty.
    """

    how: str
    step: int
    set: str = ""
    digest: str = ""

    @classmethod
    def of(
        cls, settings: ValidationSettings | None, result: TrainingResult, digest: str
    ) -> Selection:
        """Return the model selection of a finished training run."""
        if settings is None or result.selected is None:
            return cls("last", len(result.reports))
        how = "test-set" if settings.test_set else "held-out"
        return cls(how, result.selected.steps, settings.test_set or "", digest)

    def facts(self) -> dict[str, str]:
        """Return the entries for the network's metadata and the run's tags, which tables show."""
        facts = {"selection": self.how, "selection.step": str(self.step)}
        facts |= {"selection.set": self.set} if self.set else {}
        return facts | ({"selection.digest": self.digest} if self.digest else {})


def write_outcome(
    result: TrainingResult, selection: Selection, ids: Callable[[int], list[str]], out: Path
) -> list[Path]:
    """Write ``loss.csv`` and ``training.json`` to ``out``; return the paths of all written files.

    With validation, also write ``validation.csv`` (steps, psnr in dB). With skipped steps, also
    write ``skipped.json`` (these steps and the ids of their samples). Both files of an earlier run
    are removed.

    Args:
        result: curve and validations.
        selection: how the weights were selected.
        ids: returns the ids of the samples of a step.
        out: the folder.
    """
    rows = [
        {"step": r.step, "loss": r.loss, "learning_rate": r.learning_rate}
        | {f"stage_{k}": v for k, v in enumerate(r.stage_losses, start=1)}
        for r in result.reports
    ]
    content: dict[str, Any] = {
        "iterations": len(rows),
        "loss_first": _finite(result.first_loss),
        "loss_last": _finite(result.last_loss),
        "selection": selection.how,
        "selection_step": selection.step,
    }
    validations, skipped = out / "validation.csv", out / "skipped.json"
    validations.unlink(missing_ok=True)
    skipped.unlink(missing_ok=True)
    written = [_csv(rows, out / "loss.csv"), out / "training.json"]
    if result.selected is not None:
        content["validation_psnr"] = result.selected.psnr
        rows = [{"steps": v.steps, "psnr": v.psnr} for v in result.validations]
        written.append(_csv(rows, validations))
    if result.skipped:
        content["skipped_steps"] = len(result.skipped)
        files.write_json(skipped, [{"step": s, "samples": ids(s)} for s in result.skipped])
        written.append(skipped)
    files.write_json(out / "training.json", content)
    return written


def _finite(value: float) -> float | None:
    """Return ``value``; None for NaN (the mean of no losses), which JSON cannot represent."""
    return value if math.isfinite(value) else None


def _csv(rows: list[dict[str, Any]], path: Path) -> Path:
    files.write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    return path
