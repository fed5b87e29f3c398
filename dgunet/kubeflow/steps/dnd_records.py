"""DND in a pipeline: what to send to its server, and mailed scores as a parameter."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from dgunet.evaluation.results import read_result
from dgunet.evaluation.server_scores import check_score, read_scores
from dgunet.system import files
from dgunet.system.errors import ConfigError, EvaluationError
from dgunet.system.reading import parse_json


def submission_page(results: Path) -> str:
    """Markdown page on how to submit results to the benchmark's server.

    Raises:
        EvaluationError: if the results were changed; see `read_result`.
    """
    summary = read_result(results)
    digest = summary.per_image_sha256
    return (
        f"# {summary.dataset}, {summary.row}: the targets are on the server\n\n"
        f"The results are in\n`{results}`.\n"
        f"The SHA-256 of their per-image table is {digest}.\n"
        "Pack their folder `bundled` with `dgunet dnd bundle`.\n\n"
        "When the score arrives, enter it with `dgunet dnd record` (see its `--help`), "
        "commit the file in `records/`, and run the pipeline again: preparation and evaluation "
        "come from the cache, and the tables show the score.\n"
    )


def write_records(text: str, folder: Path) -> Path:
    """Write the mailed scores as files ``dnd-<n>.json``, as in ``records/``; returns ``folder``.

    Raises:
        ConfigError: if ``text`` is not a JSON list of records as `check_score` reads them.
    """
    scores = parse_json(text or "[]", "dnd_records", kind=ConfigError)
    if not isinstance(scores, list) or not all(isinstance(score, dict) for score in scores):
        raise ConfigError("dnd_records is not a list of objects.", 'Give "[]" for none.')
    for number, score in enumerate(scores):
        try:
            check_score(score, f"dnd_records, number {number + 1}")
        except EvaluationError as error:
            raise ConfigError(error.message, error.hint) from error
        files.write_json(folder / f"dnd-{number}.json", score)
    return folder


def read_records(folder: Path) -> str:
    """The scores in ``records/`` as the parameter of a pipeline.

    Raises:
        EvaluationError: as `read_scores`.
    """
    return json.dumps([asdict(score) for score in read_scores(folder)], sort_keys=True)
