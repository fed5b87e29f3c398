"""What an experiment's page in MLflow shows above its runs: a note, and views of its tables."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dgunet.paper import published
from dgunet.terms import TABLE_TAG
from dgunet.tracking.delivery.answers import check_is_mlflow, is_refusal
from dgunet.tracking.home import TrackingFolders
from dgunet.tracking.run_notes import NOTE
from dgunet.tracking.saved_views import (
    is_changed_by_hand,
    table_view,
    view_id,
    view_tag,
    viewed_tables,
)
from dgunet.tracking.server import mlflow_store
from dgunet.tracking.ui_links import CHARTS, view_page

NOTE_DIGEST = "dgunet.note"
"""Tag with the digest of the note that `page_tags` wrote; a note edited by hand is kept."""

_LOG = logging.getLogger(__name__)

_COMPARE: Mapping[int, str] = {
    1: "the same test set with both variants; `input_psnr` is that of the rainy images",
    2: "the same test set with both variants; `input_psnr` is that of the blurred images",
    3: "SIDD with both variants; the score of DND comes from the benchmark's server",
    4: "the same test set and ratio with both variants",
    5: "`psnr` over `stages` and over `scales`; `stages-7` is the paper's choice",
    6: "`stages-7`, the whole DGUNet+, with the networks that lack one component",
}
_DATASETS = (
    "Prepared datasets, and checks of datasets. The parameter `recipe` and the tag `data.digest`"
    " tell two preparations of a dataset apart."
)
_OF_STAGES: Mapping[str, str] = {
    "prepare": _DATASETS,
    "check": _DATASETS,
    "tables": "Each run has the six tables as MLflow tables, charts and files, and the report"
    " `report.html`. The newest run describes the present state; its metrics `verdict/...`"
    " and `state/...` count the cells of the paper.",
    "claims": "Each run has the verdict on every claim of the paper as an MLflow table, and counts"
    " them in its metrics. The verdicts are about the scale that was run.",
    "report": "Each run has the whole report as the file `report.html`, with claims, charts and"
    " test images.",
    "score": "Results of other people, scored with the metric protocols of this project.",
    "inspect": "What every stage of a network contributes to one image.",
    "campaign": "How the runs of a Kubeflow pipeline ended.",
}


def tables_of(tags: Mapping[str, str]) -> set[int]:
    """The numbers of the tables that a run belongs to."""
    return {int(text) for text in tags.get(TABLE_TAG, "").split() if text in "123456"}


def describe_experiment(client: Any, experiment: Any, runs: Iterable[Mapping[str, str]]) -> None:
    """Write the note and the views of ``experiment``; does nothing if they are there.

    Args:
        client: of MLflow.
        experiment: as the client returned it.
        runs: tags of some of its runs; tables that were found before are kept.
    """
    for key, value in page_tags(experiment.experiment_id, experiment.tags, runs).items():
        try:
            client.set_experiment_tag(experiment.experiment_id, key, value)
        except Exception as error:  # the runs count, not their page
            if not is_refusal(error):
                raise
            _LOG.warning("MLflow rejected the tag %s: %s", key, mlflow_store.one_line(error))


def page_tags(
    experiment_id: str, known: Mapping[str, str], runs: Iterable[Mapping[str, str]]
) -> dict[str, str]:
    """The tags that an experiment with the tags ``known`` lacks, or has from an older version.

    Views and notes that a person changed in MLflow are kept.
    """
    runs = list(runs)
    tables = viewed_tables(known).union(*map(tables_of, runs))
    wanted = {
        view_tag(table): table_view(table)
        for table in tables
        if not is_changed_by_hand(known.get(view_tag(table), table_view(table)))
    }
    stages = {run.get("stage", "") for run in runs} & set(_OF_STAGES)
    if tables:
        wanted |= _note(known, "\n\n".join(_about_tables(experiment_id, tables)))
    elif stages:
        wanted |= _note(known, _OF_STAGES[min(stages)])
    return {key: value for key, value in wanted.items() if known.get(key) != value}


def describe_all(folders: TrackingFolders) -> int:
    """Describe every experiment of dgunet in the store; return their number.

    Raises:
        TrackingError: if the store does not answer.
    """
    done = 0
    with mlflow_store.answering(folders):
        mlflow_store.ask(folders.uri)
        client = mlflow_store.client(mlflow_store.ensure_store(folders))
        check_is_mlflow(client, folders.uri)
        for experiment in client.search_experiments():
            found = client.search_runs(
                [experiment.experiment_id], "tags.`dgunet.journal` LIKE '%'", max_results=1000
            )
            if found:
                describe_experiment(client, experiment, [run.data.tags for run in found])
                done += 1
    return done


def _about_tables(experiment_id: str, tables: set[int]) -> Iterator[str]:
    """One paragraph for each table; MLflow shows the first line of a folded note."""
    for table in sorted(tables):
        pages = (view_page(experiment_id, view_id(table), **more) for more in ({}, CHARTS))
        runs, charts = pages
        yield (
            f"**Table {table}: {published.table(table).title}** \u2013 [its runs by PSNR]({runs}),"
            f" [their charts]({charts}). Compare {_COMPARE[table]}."
        )
    yield (
        "Runs of the stage `evaluate` have the scores, those of `train` the losses. The tag"
        " `campaign` groups the runs of one reproduction. Runs whose tag `profile` is `sample` are"
        " tiny networks on a few crops and not comparable with the paper."
    )


def _note(known: Mapping[str, str], text: str) -> dict[str, str]:
    written = known.get(NOTE, "")
    if written and known.get(NOTE_DIGEST) != _digest(written):
        return {}
    return {NOTE: text, NOTE_DIGEST: _digest(text)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
