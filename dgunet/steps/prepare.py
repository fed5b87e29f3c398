"""Catalogue to prepared store, for one data set."""

from __future__ import annotations

from pathlib import Path

from dgunet.config import Params
from dgunet.data.store.manifest import LayoutName, StoreManifest
from dgunet.data.store.preparation_recipes import RecipeName
from dgunet.data.store.prepare import prepare_dataset
from dgunet.project import EXPERIMENTS
from dgunet.terms import DATA_TAG, RunTags
from dgunet.tracking import start_run
from dgunet.tracking.reports.progress import counting


def prepare(
    params: Params,
    dataset: str,
    *,
    root: Path,
    out: Path,
    recipe: RecipeName = "whole",
    layout: LayoutName = "raw",
) -> StoreManifest:
    """Check the official tree of ``dataset`` under ``root`` and write its store to ``out``.

    Raises:
        DataError: if the set is unknown, missing, incomplete or corrupt, or not the recipe's.
    """
    tags = RunTags("prepare", params.profile, dataset=dataset).to_dict()
    settings = {"dataset": dataset, "recipe": recipe, "layout": layout}
    with start_run(EXPERIMENTS["data"], f"prepare {dataset}", tags=tags, params=settings) as run:
        with counting(f"prepare {dataset}", "pair") as tell:
            manifest = prepare_dataset(
                dataset,
                root,
                out,
                profile=params.profile,
                recipe=recipe,
                layout=layout,
                observe=lambda done, total: tell(done, total, ""),
            )
        run.set_tags({DATA_TAG: manifest.digest, "task": manifest.task})
        if manifest.doubts:
            run.set_tags({"data.doubts": "; ".join(manifest.doubts)})
        run.log_metrics({"records": manifest.count})
        run.log_dataset(
            f"{dataset} ({params.profile})",
            manifest.digest,
            source_uri=root.as_posix(),
            context=manifest.role,
        )
        run.log_artifact(out / "manifest.json")
        run.set_result(dataset=manifest.digest)
    return manifest
