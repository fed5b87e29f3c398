"""Results to the six tables, and to one MLflow run that holds them all."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dgunet import files
from dgunet.config import Params
from dgunet.evaluation.dnd import ServerScore, apply_score
from dgunet.paper.formats import write_tables
from dgunet.paper.generated import GeneratedTable
from dgunet.paper.overview import chart, describe
from dgunet.paper.tables import build_tables
from dgunet.stages.layout import EXPERIMENTS
from dgunet.tracking import start_run


def read_results(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """The ``summary.json`` of every evaluation in ``folders``; a missing folder was not run."""
    return [
        json.loads(path.read_text())
        for folder in folders
        for path in sorted(folder.rglob("summary.json"))
    ]


def with_server_scores(
    summaries: Iterable[dict[str, Any]], records: Path | None
) -> list[dict[str, Any]]:
    """``summaries``, DND's with the mailed score if ``records`` has the one it was given to.

    A score of other weights or data is left out, and said so.
    """
    scores = [
        ServerScore(**json.loads(path.read_text()))
        for path in sorted(records.glob("dnd-*.json") if records else ())
    ]
    known = {score.per_image_sha256: score for score in scores}
    scored = []
    for summary in summaries:
        score = known.pop(summary["per_image_sha256"], None)
        scored.append(apply_score(summary, score) if score else summary)
    for score in known.values():
        print(
            f"dgunet: the server's score of {score.row} was given to other results than those at "
            f"hand (per-image table {score.per_image_sha256[:12]}); it is not shown",
            file=sys.stderr,
        )
    return scored


def tables(
    params: Params, *, results: Iterable[Path], out: Path, records: Path | None = None
) -> list[GeneratedTable]:
    """Make Tables 1-6 from the evaluations in ``results`` and write them to ``out``.

    ``records`` holds the scores that DND's server mailed, as ``dgunet dnd record`` enters them.

    Also writes ``metrics.json``, the measured means by set and row, for ``dvc metrics``.

    Raises:
        ConfigError: if an evaluation was made under another profile.
        DataError: if one set was scored on two versions of its data.
    """
    tags = {"stage": "tables", "profile": params.profile}
    with start_run(
        EXPERIMENTS["tables"], f"tables ({params.profile})", tags=tags, params={}, closing=True
    ) as run:
        summaries = with_server_scores(read_results(results), records)
        made = build_tables(summaries, profile=params.profile)
        write_tables(made, out)
        files.write_json(out / "metrics.json", metrics(summaries))
        run.set_tags(
            {
                "data.digest": digest_of(made),
                "mlflow.note.content": describe(made),
            }
        )
        run.log_metrics({"evaluations": len(summaries)})
        for table in made:
            run.log_table(table.frame(), f"tables/table{table.number}.json")
            run.log_figure(chart(table), f"figures/table{table.number}.png")
        for path in sorted(out.iterdir()):
            run.log_artifact(path, "files")
    return made


def digest_of(made: Iterable[GeneratedTable]) -> str:
    """One digest for the data behind all tables."""
    return files.sha256_json({str(table.number): table.data_digest for table in made})


def metrics(summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Means by set, row and ratio, as nested numbers."""
    nested: dict[str, Any] = {}
    for summary in summaries:
        place = nested.setdefault(summary["dataset"], {}).setdefault(summary["row"], {})
        if summary["ratio"] is not None:
            place = place.setdefault(f"{summary['ratio']}%", {})
        for key in ("psnr", "ssim", "input_psnr", "input_ssim"):
            if summary[key] is not None:
                place[key] = summary[key]
    return nested
