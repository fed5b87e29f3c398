"""The verdicts on the paper's claims, from the results of a project or of named folders.

The results are read as `dgunet tables` reads them: means, digests and seals are computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgunet.config import load_params
from dgunet.evaluation.results import find_results
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.paper.claims.claim_list import claims, digests, parse, text
from dgunet.paper.claims.effects import Result
from dgunet.paper.claims.judgement import UNKNOWN, JudgedClaim, Judgement, RunBehind
from dgunet.paper.claims.verdicts import Outcome, judge_claims
from dgunet.project import ProjectFolders
from dgunet.steps.claim_history import ClaimHistory
from dgunet.steps.result_folders import result_folders
from dgunet.steps.tables import CheckedResult, checked_results
from dgunet.steps.training_records import runs_by_result, training_folder
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.files import sha256_json
from dgunet.system.reading import read_mapping
from dgunet.terms import DATA_TAG, RunTags
from dgunet.tracking import start_run
from dgunet.tracking.reports.progress import counting

EXPERIMENT = "dgunet/claims"
"""The MLflow experiment; here and not in `dgunet.project`, on which results depend."""


def judge_project(here: ProjectFolders, folders: Sequence[Path] = ()) -> Judgement:
    """Judge the paper's claims on the evaluations of a project, or on those in ``folders``.

    Args:
        here: the project, whose index of runs names the runs.
        folders: folders of evaluations at any depth, such as the ``build`` of several trainings;
            default: those of which ``dgunet tables`` makes the tables.

    Raises:
        DataError: if a folder does not exist or has no evaluation, or the evaluations cannot be
            compared.
        EvaluationError: if a result was changed.
    """
    params = load_params(here.params)
    here = here.using(params.weights)
    found = _found(here, folders or result_folders(params, here), bool(folders))
    return judge_results(
        (result for paths, project in found for result in checked_results(paths, project)),
        here.home,
    )


def judge_results(results: Iterable[CheckedResult], home: Path) -> Judgement:
    """Judge the paper's claims on ``results``; the progress is shown, as large sets take minutes.

    Args:
        results: as `dgunet.steps.tables.checked_results` yields them.
        home: the project whose index of runs names the runs.

    Raises:
        DataError: if the evaluations cannot be compared.
    """
    known = {path: (summary, Result.of(summary, rows)) for path, summary, rows in results}
    with counting("judging claims", "claim") as report:
        outcomes = judge_claims(claims(), [result for _, result in known.values()], report)
    places = {summary.per_image_sha256: path for path, (summary, _) in known.items()}
    judged = _with_provenance(outcomes, _Index(home, places))
    profiles = {summary.profile for summary, _ in known.values()}
    return Judgement(profiles.pop() if profiles else "none", len(known), tuple(judged))


def _found(
    here: ProjectFolders, folders: Sequence[Path], needed: bool
) -> list[tuple[list[Path], ProjectFolders | None]]:
    """The evaluations of the project, which are compared with its networks, and all others."""
    own: dict[Path, None] = {}
    others: dict[Path, None] = {}
    places = [here.evaluation("x", "x").parent.resolve(), here.ablation("x").parent.resolve()]
    for folder in folders:
        if needed and not folder.is_dir():
            raise DataError(f"{folder} is no folder.", "Name folders of evaluations.")
        found = [path.resolve() for path in find_results(folder)]
        if needed and not found:
            raise DataError(f"{folder} has no evaluations.", "Name folders of evaluations.")
        for path in found:
            inside = any(path.is_relative_to(place) for place in places)
            (own if inside else others)[path] = None
    return [(list(own), here), (list(others), None)]


def _with_provenance(outcomes: Sequence[Outcome], index: _Index) -> list[JudgedClaim]:
    history, stated = ClaimHistory(), digests(parse(text()))
    judged = []
    for outcome in outcomes:
        name = outcome.claim.id
        runs = tuple(index.behind(result.summary) for result in outcome.results)
        commits = [None if run.commit == UNKNOWN else run.commit for run in runs]
        fixed = history.fixed(name, commits) if runs else ""
        commit = history.commits.get(name) or UNKNOWN
        judged.append(JudgedClaim(outcome, stated[name], commit, fixed, runs))
    return judged


class _Index:
    """The runs of a project by what they made, and the training steps of its networks."""

    def __init__(self, home: Path, places: Mapping[str, Path]) -> None:
        self._places = places
        self._runs = runs_by_result(home)
        self._steps: dict[str, str] = {}

    def behind(self, summary: EvaluationSummary) -> RunBehind:
        """The run behind an evaluation."""
        run = self._runs.get(summary.per_image_sha256)
        return RunBehind(
            summary.name,
            (run.run_id if run else None) or UNKNOWN,
            run.commit if run else UNKNOWN,
            self._trained_steps(summary),
            summary.checkpoint_sha256,
            summary.data_digest,
            summary.per_image_sha256,
        )

    def _trained_steps(self, summary: EvaluationSummary) -> str:
        key = summary.checkpoint_sha256
        if key not in self._steps:
            self._steps[key] = self._read_steps(summary)
        return self._steps[key]

    def _read_steps(self, summary: EvaluationSummary) -> str:
        """The iterations in the record beside the weights, if the weights are those evaluated."""
        folder = training_folder(self._places[summary.per_image_sha256], summary)
        try:
            return str(read_mapping(folder / "training.json")["iterations"]) if folder else UNKNOWN
        except (DgunetError, KeyError):
            return UNKNOWN


def record_judgement(judgement: Judgement, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """Record the verdicts as an MLflow run: a table, the counts, and the runs behind each verdict.

    Args:
        judgement: result of `judge_project`.
        name: name of the run.
        rows: of the table, one for each claim.
    """
    import pandas as pd

    stated = sha256_json({each.outcome.claim.id: each.digest for each in judgement.claims})
    runs = {each.outcome.claim.id: list(each.runs) for each in judgement.claims}
    data = {run.name: run.data_digest for behind in runs.values() for run in behind}
    tags = RunTags("claims", judgement.profile).to_dict() | {
        DATA_TAG: sha256_json(data) if data else "none",
        "claims.digest": stated,
    }
    with start_run(EXPERIMENT, name, tags=tags, params={}) as run:
        run.log_metrics(
            {f"claims/{verdict.replace(' ', '_')}": n for verdict, n in judgement.counts().items()}
        )
        run.log_table(pd.DataFrame(list(rows)), "claims/verdicts.json")
