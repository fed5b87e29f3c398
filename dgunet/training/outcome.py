"""What a finished training leaves beside its weights: curves, choice, left-out steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dgunet.config import ValidationParams
from dgunet.system import files
from dgunet.training import TrainingResult


@dataclass(frozen=True)
class Selection:
    """How the weights were chosen: ``last``, on a ``held-out`` part, or on a ``test-set``.

    Attributes:
        how: one of the three.
        set: the test set, or nothing.
        digest: of what the choice was made on, or nothing.
        step: how many steps were made when the weights were taken.
    """

    how: str
    step: int
    set: str = ""
    digest: str = ""

    @classmethod
    def of(cls, plan: ValidationParams | None, result: TrainingResult, digest: str) -> Selection:
        """The choice of a finished training."""
        if plan is None or result.chosen is None:
            return cls("last", len(result.reports))
        how = "test-set" if plan.test_set else "held-out"
        return cls(how, result.chosen.steps, plan.test_set or "", digest)

    def facts(self) -> dict[str, str]:
        """For a network's metadata and a run's tags: a table made from it can say so."""
        told = {"selection": self.how, "selection.step": str(self.step)}
        told |= {"selection.set": self.set} if self.set else {}
        return told | ({"selection.digest": self.digest} if self.digest else {})


def write_outcome(
    result: TrainingResult, selection: Selection, ids: Callable[[int], list[str]], out: Path
) -> list[Path]:
    """Write ``loss.csv`` and ``training.json`` to ``out``; returns all files written.

    Beside them ``validation.csv`` (steps, psnr in dB), where there was a validation, and
    ``skipped.json`` (the left-out steps and their samples), where a step was left out. Those of an
    earlier training are removed.
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
    judged, skipped = out / "validation.csv", out / "skipped.json"
    judged.unlink(missing_ok=True)
    skipped.unlink(missing_ok=True)
    written = [_csv(rows, out / "loss.csv"), out / "training.json"]
    if result.chosen is not None:
        content["validation_psnr"] = result.chosen.psnr
        rows = [{"steps": v.steps, "psnr": v.psnr} for v in result.validations]
        written.append(_csv(rows, judged))
    if result.skipped:
        content["skipped_steps"] = len(result.skipped)
        files.write_json(skipped, [{"step": s, "samples": ids(s)} for s in result.skipped])
        written.append(skipped)
    files.write_json(out / "training.json", content)
    return written


def _finite(value: float) -> float | None:
    """JSON knows no NaN, the mean of losses that were all left out."""
    return value if math.isfinite(value) else None


def _csv(rows: list[dict[str, Any]], path: Path) -> Path:
    files.write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    return path
