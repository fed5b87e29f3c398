"""The step `prepare`: from the official folder tree of one dataset to its prepared store."""

from __future__ import annotations

from pathlib import Path

from dgunet.data.store.manifest import LayoutName, StoreManifest
from dgunet.data.store.preparation_recipes import RecipeName
from dgunet.data.store.prepare import prepare_dataset, prepare_part
from dgunet.project import EXPERIMENTS
from dgunet.system.parts import Part, what_is_left
from dgunet.terms import DATA_TAG, Profile, RunTags
from dgunet.tracking import start_run
from dgunet.tracking.reports.progress import counting


def prepare_store(
    profile: Profile,
    dataset: str,
    *,
    root: Path,
    out: Path,
    recipe: RecipeName = "whole",
    layout: LayoutName = "raw",
) -> StoreManifest:
    """Check the official tree of ``dataset`` under ``root`` and write its store to ``out``.

    The preparation is recorded as a run of the MLflow experiment ``dgunet/data``.

    Args:
        profile: ``sample`` or ``paper``; a sample store is never complete.
        dataset: a catalogue name.
        root: the folder of the official trees.
        out: the store's folder; an existing one is replaced.
        recipe: ``whole`` keeps the images; the others prepare a training set.
        layout: ``raw`` or ``compact``.

    Raises:
        DataError: if the dataset is unknown, missing, incomplete or corrupt, or if the recipe does
            not use it.
    """
    tags = RunTags("prepare", profile, dataset=dataset).to_dict()
    settings = {"dataset": dataset, "recipe": recipe, "layout": layout}
    with start_run(EXPERIMENTS["data"], f"prepare {dataset}", tags=tags, params=settings) as run:
        with counting(f"prepare {dataset}", "pair") as report:
            manifest = prepare_dataset(
                dataset,
                root,
                out,
                profile=profile,
                recipe=recipe,
                layout=layout,
                observe=lambda done, total: report(done, total, ""),
            )
        run.set_tags({DATA_TAG: manifest.digest, "task": manifest.task})
        if manifest.doubts:
            run.set_tags({"data.doubts": "; ".join(manifest.doubts)})
        run.log_metrics({"records": manifest.count})
        run.log_dataset(
            f"{dataset} ({profile})",
            manifest.digest,
            source_uri=root.as_posix(),
            context=manifest.role,
        )
        run.log_artifact(out / "manifest.json")
        run.set_result(dataset=manifest.digest)
    return manifest


def prepare_store_part(
    dataset: str,
    part: str,
    *,
    root: Path,
    out: Path,
    recipe: RecipeName = "whole",
    layout: LayoutName = "raw",
) -> str:
    """Write one part of the files that `prepare_store` with the same arguments merges.

    A part has no run of its own.

    Args:
        dataset: a catalogue name.
        part: which part, such as ``2/4``.
        root: the folder of the official trees.
        out: the store's folder.
        recipe: as for `prepare_store`.
        layout: as for `prepare_store`.

    Returns:
        A line about the part and about what is left.

    Raises:
        ConfigError: for a part that does not exist.
        DataError: as `dgunet.data.store.prepare.prepare_part`.
    """
    chosen = Part.parse(part)
    with counting(f"prepare {chosen} of {dataset}", "pair") as report:
        made = prepare_part(
            dataset,
            root,
            out,
            chosen,
            recipe=recipe,
            layout=layout,
            observe=lambda done, total: report(done, total, ""),
        )
    rest = what_is_left(made.done, made.total, "written")
    return f"{dataset}, {chosen}: {made.files} files; {rest}"
