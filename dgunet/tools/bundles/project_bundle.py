"""The bundle of a project's results: evaluations, tables, claims, and what they were made with."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet.config import load_params
from dgunet.data.store.manifest import StoreManifest
from dgunet.evaluation.results import SUMMARY, TABLE
from dgunet.evaluation.rows import write_rows_csv
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.paper.claims import claim_list
from dgunet.paper.claims.claim_text import as_json
from dgunet.paper.formats import write_tables
from dgunet.paper.overlaps import known_overlaps
from dgunet.paper.table_building import build_tables
from dgunet.paper.twins import build_twins
from dgunet.paper.written_tables import CELLS, read_cells
from dgunet.project import ProjectFolders
from dgunet.steps.claim_judging import judge_project
from dgunet.steps.result_folders import result_folders
from dgunet.steps.tables import (
    CheckedResult,
    checked_results,
    summaries_and_rows,
    with_server_scores,
)
from dgunet.steps.training_records import runs_by_result
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.system.seals import SEAL
from dgunet.tools import croissant
from dgunet.tools.bundles.behind import copy_trainings, write_runs
from dgunet.tools.bundles.crate import COPY
from dgunet.tools.bundles.sealing import Draft, new_bundle

STAGES = ("dvc.yaml", "dvc.lock")
ANCESTORS = 4
"""How far above an evaluation its networks and prepared sets are looked for."""

TEXT = "Scores of {0} evaluations (profile {1}) with the tables, claims and settings behind them."


@dataclass(frozen=True)
class Made:
    """What a bundle has: numbers of evaluations and images, and the profile."""

    evaluations: int
    images: int
    profile: str


def bundle_project(
    here: ProjectFolders,
    out: Path,
    folders: Sequence[Path] = (),
    *,
    with_weights: bool = False,
    key: Path | None = None,
) -> Made:
    """Write the results of a project, or those in ``folders``, as a sealed bundle.

    Restored images and images of datasets are never included.

    Args:
        here: the project.
        out: a new folder, or a new file whose name ends in ``.zip``.
        folders: folders of evaluations at any depth; default: those of ``dgunet tables``.
        with_weights: include the weights; otherwise they are named by their SHA-256.
        key: PEM file of the Ed25519 key that signs it.

    Raises:
        ConfigError: if ``out`` exists, or ``key`` is no such key.
        DataError: if there are no evaluations, they have two profiles, or weights are missing.
        EvaluationError: if a result was changed.
    """
    here = here.using(load_params(here.params).weights)
    results = _results(here, folders)
    profiles = {summary.profile for _, summary, _ in results}
    if len(profiles) != 1:
        found = " and ".join(sorted(profiles)) or "no evaluations"
        raise DataError(f"a bundle has results of one profile; found: {found}.", "Name folders.")
    (profile,) = profiles
    with new_bundle(out, here.home, key) as draft:
        names = _copy_evaluations(draft.folder, results)
        no_tables = _write_tables(draft.folder, here, results, profile)
        _write_claims(draft.folder, here, folders)
        _copy_configuration(draft.folder, here, results)
        _copy_manifests(draft.folder, here, results)
        trainings = copy_trainings(draft.folder, results)
        write_runs(draft.folder, results, runs_by_result(here.home))
        _describe(draft, here, results, profile)
        draft.index = {
            "kind": "results",
            "profile": profile,
            "evaluations": names,
            "tables": no_tables or "tables/",
            "weights": [
                one | {"training": trainings.get(one["sha256"])}
                for one in _weights(draft.folder, here, results, with_weights)
            ],
        }
    return Made(len(results), sum(len(rows) for _, _, rows in results), profile)


def _describe(
    draft: Draft, here: ProjectFolders, results: Sequence[CheckedResult], profile: str
) -> None:
    draft.title = f"Results of dgunet, profile {profile}"
    draft.text = TEXT.format(len(results), profile)
    draft.protocols = {summary.protocol for _, summary, _ in results}
    draft.private = (here.home.resolve(), *(path.resolve().parent for path, _, _ in results))


def _results(here: ProjectFolders, folders: Sequence[Path]) -> list[CheckedResult]:
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder.", "Name folders of evaluations.")
    if folders:
        return list(checked_results([path.resolve() for path in folders]))
    return list(checked_results(result_folders(load_params(here.params), here), here))


def _copy_evaluations(folder: Path, results: Sequence[CheckedResult]) -> list[str]:
    """Copy summaries and per-image tables, these as CSV too; return the names of the folders."""
    names: list[str] = []
    for path, summary, rows in results:
        ratio = "" if summary.ratio is None else f"-r{summary.ratio}"
        base = name = f"{summary.dataset}-{summary.row}{ratio}"
        count = 1
        while name in names:
            count += 1
            name = f"{base}-{count}"
        names.append(name)
        place = folder / "evaluations" / name
        place.mkdir(parents=True)
        for file in (SUMMARY, TABLE):
            shutil.copyfile(path / file, place / file)
        shutil.copyfile(path / SEAL, place / "folder.sha256")
        write_rows_csv(place / "per_image.csv", rows)
    return names


def _write_tables(
    folder: Path, here: ProjectFolders, results: Sequence[CheckedResult], profile: str
) -> str:
    """Make the tables of these evaluations; return why there are none, otherwise ""."""
    if profile not in ("sample", "paper"):
        return f"none: there are no tables of the profile {profile}"
    if len({summary.name for _, summary, _ in results}) < len(results):
        return "none: there are several trainings of a network, and a table has one"
    found, rows = summaries_and_rows(results)
    summaries = with_server_scores(found, here.records)
    made = build_tables(summaries, profile=profile, rows=rows)
    overlaps = known_overlaps(here.overlaps if here.overlaps.is_file() else None)
    twins = build_twins(made, summaries, rows=rows, overlaps=overlaps)
    write_tables(made, folder / "tables", twins)
    (folder / "tables" / SEAL).unlink()  # the bundle has its own
    files.write_json(folder / "cells.json", plain_cells(folder / "tables" / CELLS))
    for record in sorted(here.records.glob("dnd-*.json")):
        (folder / "records").mkdir(exist_ok=True)
        shutil.copyfile(record, folder / "records" / record.name)  # not the mail beside it
    return ""


def plain_cells(path: Path) -> list[dict[str, Any]]:
    """The cells of written tables as JSON values in full precision."""
    cells = read_cells(path)
    frame = cells.astype(object).where(cells.notna(), None)
    return [
        {str(k): v.item() if hasattr(v, "item") else v for k, v in cell.items()}
        for cell in frame.to_dict("records")
    ]


def _write_claims(folder: Path, here: ProjectFolders, folders: Sequence[Path]) -> None:
    files.write_text(folder / "claims" / claim_list.NAME, claim_list.text())
    judgement = judge_project(here, folders)
    files.write_json(folder / "claims" / "verdicts.json", as_json(judgement))


def _copy_configuration(
    folder: Path, here: ProjectFolders, results: Iterable[CheckedResult]
) -> None:
    """Copy the settings of the project and, of results made elsewhere, those above them."""
    place = folder / "configuration"
    copies = {"params.yaml": "params.yaml"}
    for parent in ("", f"pipelines/{here.weights}/"):
        copies |= {f"{parent}{name}": f"{parent}{COPY}{name}" for name in STAGES}
    for name, copy in copies.items():
        if (here.home / name).is_file():
            (place / copy).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here.home / name, place / copy)
    above = {
        parent / "params.yaml"
        for path, _, _ in results
        for parent in path.parents[:ANCESTORS]
        if (parent / "params.yaml").is_file() and parent.resolve() != here.home.resolve()
    }
    for number, path in enumerate(sorted(above), start=1):
        shutil.copyfile(path, place / f"params-of-results-{number}.yaml")


def _copy_manifests(folder: Path, here: ProjectFolders, results: Iterable[CheckedResult]) -> None:
    """Copy the manifests of those prepared sets that the evaluations were made with.

    Beside each is its description as Croissant.
    """
    for path, summary, _ in results:
        for store in _near(path, here, f"prepared/{summary.dataset}"):
            place = folder / "prepared" / summary.dataset
            if place.exists() or not (store / "manifest.json").is_file():
                continue
            manifest = StoreManifest.read(store)
            if manifest.digest == summary.data_digest:
                place.mkdir(parents=True)
                shutil.copyfile(store / "manifest.json", place / "manifest.json")
                shutil.copyfile(store / SEAL, place / "files.sha256")
                described = croissant.describe_store(manifest, place / "manifest.json")
                files.write_text(place / croissant.FILE, croissant.as_text(described))


def _near(result: Path, here: ProjectFolders, name: str) -> Iterable[Path]:
    """The places of ``name`` in the build folder and above an evaluation."""
    return dict.fromkeys(
        parent / name for parent in (here.build, *result.resolve().parents[:ANCESTORS])
    )


def _weights(
    folder: Path, here: ProjectFolders, results: Iterable[CheckedResult], include: bool
) -> list[dict[str, Any]]:
    """The weights by their SHA-256, with the network's name; copy them if ``include``."""
    known: dict[str, Path] = {}
    listed: dict[str, dict[str, Any]] = {}
    for path, summary, _ in results:
        digest = summary.checkpoint_sha256
        if not digest or digest in listed:
            continue
        listed[digest] = {"sha256": digest, "network": _network(summary), "file": None}
        if include:
            if digest not in known:
                for models in _near(path, here, "models"):
                    found = sorted(models.rglob("*.safetensors"))
                    known |= {files.sha256_file(each): each for each in found}
            if digest not in known:
                raise DataError(
                    f"the weights {digest} of {summary.name} are not in the build folder.",
                    "Leave out --with-weights, or put them back.",
                )
            listed[digest]["file"] = name = f"weights/{digest}.safetensors"
            (folder / "weights").mkdir(exist_ok=True)
            shutil.copyfile(known[digest], folder / name)
    return list(listed.values())


def _network(summary: EvaluationSummary) -> str:
    ratio = "" if summary.ratio is None else f", {summary.ratio} %"
    return f"{summary.task}, {summary.row}{ratio}, {summary.weights}"
