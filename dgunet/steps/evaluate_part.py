"""A part of the step `evaluate`, for pods that share the images of a large test set."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from dgunet.config import EvaluationParams
from dgunet.evaluation.network_evaluation import (
    EvaluationOptions,
    EvaluationRequest,
    PartResult,
    load_evaluation,
    run_part,
)
from dgunet.steps.evaluate import ablation_request, set_request
from dgunet.steps.evaluation_plan import PlannedEvaluation
from dgunet.system.errors import ConfigError
from dgunet.system.parts import Part, what_is_left
from dgunet.tracking.reports.progress import counting

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluatedPart:
    """A part that was scored, with what it belongs to."""

    request: EvaluationRequest
    part: Part
    result: PartResult

    def line(self) -> str:
        """Return one line about it and about what is left."""
        result, ratio = self.result, self.request.published[0].ratio
        name = f"{self.request.dataset} {self.request.row}" + ("" if not ratio else f" {ratio}%")
        rest = what_is_left(result.done, result.total, "scored")
        return f"{name}, {self.part}: {result.images:,} images; {rest}"


def evaluate_part(
    params: EvaluationParams, wanted: PlannedEvaluation, options: EvaluationOptions, part: Part
) -> list[EvaluatedPart]:
    """Restore and score one part of a test set with each network of a planned evaluation.

    The rows stay in `dgunet.steps.evaluate.unfinished_evaluations`, where the whole evaluation
    merges them, writes the results and reports its run; a part has no run of its own.

    Args:
        params: what an evaluation reads of ``params.yaml``.
        wanted: the test set, the networks and the folder of the results.
        options: memory and scratch; one process.
        part: which part of how many.

    Raises:
        ConfigError: for several processes.
        DgunetError: as `dgunet.steps.evaluate.evaluate_test_set`.
    """
    if options.processes > 1:
        raise ConfigError(
            f"--part together with --processes {options.processes}.",
            "A part is one process; use more parts.",
        )
    made = []
    for request in _requests(params, wanted, options):
        loaded = load_evaluation(request)
        title = f"evaluate {part} of {request.dataset} {request.row}"
        with loaded.beside_other_parts(part), counting(title, "image") as report:
            result = run_part(loaded, part, on_progress=report, note=logger.warning)
        made.append(EvaluatedPart(request, part, result))
    return made


def _requests(
    params: EvaluationParams, wanted: PlannedEvaluation, options: EvaluationOptions
) -> list[EvaluationRequest]:
    places = {"store": wanted.store, "out": wanted.out}
    if wanted.ablation:
        (weights,) = wanted.models.values()
        return [
            ablation_request(params, wanted.ablation, weights=weights, options=options, **places)
        ]
    return [
        set_request(
            params,
            wanted.dataset,
            wanted.variant,
            ratio,
            weights=weights,
            options=options,
            **places,
        )
        for ratio, weights in wanted.models.items()
    ]
