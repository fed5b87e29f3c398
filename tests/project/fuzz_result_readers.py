"""Readers of results, tables, journals and records of runs, with valid files for each."""

import importlib
import json
from dataclasses import MISSING, fields

from fuzz_target import Target


def moved(name, *modules):
    """Return ``name`` from the first of ``modules`` that defines it."""
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"{name} is in none of {modules}")


def records_of_pipelines(folder, sample):
    from dgunet.kubeflow import run_records

    record = run_records.Record("local-1", "small", "subprocess", "/x", 1.0, 7, "FAILED", 2.0, "no")
    run_records.save(folder, record)
    log = run_records.folder(folder, "local-1") / "log.txt"
    log.write_text("    [dgunet 12:00:00] work SUCCESS of [Set11]\n")

    def read(f):
        assert run_records.last(f, 3)
        run_records.status_text(f, "local-1")

    return Target(
        folder, [str(p.relative_to(folder)) for p in (log, log.with_name("run.json"))], read
    )


def results(folder, sample):
    from dgunet.data.store.pair_store import PairStore
    from dgunet.data.store.prepare import prepare_dataset
    from dgunet.evaluation.image_steps import Settings
    from dgunet.evaluation.protocols import protocol
    from dgunet.evaluation.restoration import identity
    from dgunet.evaluation.runner import merge_rows, score_shard
    from dgunet.paper.table_building import build_tables
    from dgunet.steps.tables import read_results

    prepare_dataset("Rain100L", sample, folder / "store", profile="sample", workers=1)
    store = PairStore.open(folder / "store")
    rules, work = protocol("rain-y"), folder / "work"
    settings = Settings(row="DGUNet", checkpoint_sha256="0" * 64)
    score_shard(identity, store, rules, work, settings)
    merge_rows(store, rules, work, folder / "results", settings)

    def read(f):
        build_tables(read_results([f / "results"]), profile="sample")

    return Target(folder, ["results/summary.json", "results/per_image.parquet"], read)


def cells(folder, sample):
    from dgunet.paper.formats import write_tables
    from dgunet.paper.table_building import build_tables

    read_cells = moved("read_cells", "dgunet.paper.written_tables", "dgunet.paper.formats")
    write_tables(build_tables([], profile="sample"), folder)
    return Target(folder, ["cells.parquet"], lambda f: read_cells(f / "cells.parquet"))


def rows(folder, sample):
    from dgunet.evaluation.rows import Row, Timing

    journal = moved("RowJournal", "dgunet.evaluation.row_journal", "dgunet.evaluation.rows")
    own = journal(folder, "key", "0-of-1")
    with own.appending() as handle:
        for index in range(3):
            row = Row(str(index), 30.0, 0.9, 20.0, 0.8, "rain-y", 1, 40, 41, "0" * 64)
            own.append(handle, (index, row, Timing(str(index), 0.1, 0.2, 0.3)))

    def read(f):
        for index, row, timing in journal(f, "key", "0-of-1").entries().values():
            assert (type(index), row.id, timing.id) == (int, str(row.id), str(timing.id))

    return Target(folder, ["0-of-1.jsonl"], read, text=True)


def journals(folder, sample):
    from dgunet.tracking import TrackingFolders, pending, start_run

    with start_run(
        "e", "n", tags={"profile": "sample", "stage": "x"}, params={"a": 1}, home=folder
    ) as run:
        run.log_metrics({"psnr": 3.0}, 1)
    folders = TrackingFolders.at(folder)
    (journal,) = (path for path in folders.journals.iterdir() if path.is_dir())
    (journal / "cursor.json").write_text("{}")
    found = [p for p in journal.iterdir() if p.is_file()]

    def read(f):
        for info in pending(TrackingFolders.at(f)):
            info.facts()

    return Target(folder, [str(p.relative_to(folder)) for p in found], read, text=True)


def index_of_runs(folder, sample):
    from dgunet.tracking import RunInfo, TrackingFolders, delivered, lookup
    from dgunet.tracking.index import add_delivered_run

    folders = TrackingFolders.at(folder)
    texts = [f.name for f in fields(RunInfo) if f.default_factory is MISSING]
    for number in range(3):
        add_delivered_run(
            folders, RunInfo(**{name: str(number) for name in texts} | {"dirty": None})
        )

    def read(f):
        for info in delivered(TrackingFolders.at(f)):
            info.facts()
        lookup("0" * 64, f)

    return Target(folder, [str(folders.index.relative_to(folder))], read, text=True)


def server_scores(folder, sample):
    from dgunet.kubeflow.steps.dnd_records import read_records
    from dgunet.steps.tables import with_server_scores
    from dgunet.system.files import sha256_file

    evidence = folder / "dnd-1.evidence.eml"
    evidence.write_text("as mailed")
    digests = ("checkpoint_sha256", "data_digest", "per_image_sha256", "bundle_sha256")
    score = dict.fromkeys(digests, "0" * 64) | {
        "row": "DGUNet",
        "variant": "DGUNet",
        "psnr": 40.0,
        "ssim": 0.9,
        "evidence": evidence.name,
        "evidence_sha256": sha256_file(evidence),
    }
    (folder / "dnd-1.json").write_text(json.dumps(score))

    def read(f):
        read_records(f)
        with_server_scores([{**score, "dataset": "DND", "psnr": None}], f)

    return Target(folder, ["dnd-1.json"], read)


def overlaps(folder, sample):
    from dgunet.data.catalogue.overlaps import OverlapRecord, write_overlaps
    from dgunet.paper.overlaps import known_overlaps

    record = OverlapRecord(
        train="Rain13K",
        train_digest="0" * 64,
        test="Rain100L",
        test_digest="1" * 64,
        train_pairs=40,
        complete=False,
        images=["88", "93"],
        found="by hand",
    )
    write_overlaps([record], folder / "overlaps.json")
    return Target(
        folder, ["overlaps.json"], lambda f: known_overlaps(f / "overlaps.json"), text=True
    )
