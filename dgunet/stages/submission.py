"""DND in a pipeline: what to send to its server, and the scores that came back as a parameter."""

from __future__ import annotations

import json
from pathlib import Path

from dgunet import files
from dgunet.errors import ConfigError


def submission_page(results: Path) -> str:
    """A Markdown page for results that wait for the benchmark's server."""
    told = json.loads((results / "summary.json").read_text())
    digest = told["per_image_sha256"]
    return (
        f"# {told['dataset']}, {told['row']}: the server has the targets\n\n"
        f"Pack their folder `bundled` with `dgunet dnd bundle`. The results are at\n`{results}`.\n"
        f"They belong to the per-image table {digest}.\n\n"
        "When the score has come, enter it with `dgunet dnd record` (its `--help` says how), "
        "commit the file in `records/`, and run the pipeline again: preparation and evaluation "
        "come from the cache, and the tables show the score.\n"
    )


def write_records(text: str, folder: Path) -> Path:
    """Lay the mailed scores out as ``records/`` has them: ``dnd-<n>.json``; returns ``folder``.

    Raises:
        ConfigError: if ``text`` is not a JSON list of objects.
    """
    try:
        scores = json.loads(text or "[]")
    except json.JSONDecodeError as error:
        raise ConfigError(f"dnd_records is not JSON: {error}.", 'Give a list, or "[]".') from error
    if not isinstance(scores, list) or not all(isinstance(score, dict) for score in scores):
        raise ConfigError("dnd_records is not a list of objects.", 'Give "[]" for none.')
    for number, score in enumerate(scores):
        files.write_json(folder / f"dnd-{number}.json", score)
    return folder


def read_records(folder: Path) -> str:
    """The scores in ``records/`` as the parameter of a pipeline."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("dnd-*.json"))]
    return json.dumps(found, sort_keys=True)
