"""Evaluation of a dataset: rows, means, memory, overlapping steps and invalid input."""

import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from evaluation_stand_ins import (
    MemoryStore,
    Smooth,
    evaluate_store,
    evaluate_with_timings,
    records,
)
from PIL import Image

from dgunet.evaluation.metric_protocol import Score
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.restoration import identity, restore_image
from dgunet.evaluation.rows import array_sha256
from dgunet.steps.committed_scores import commit_scores
from dgunet.system.errors import DataError, EvaluationError
from dgunet.system.seals import SEAL

KEYS = [
    "profile",
    "dataset",
    "task",
    "variant",
    "row",
    "ratio",
    "images",
    "published_images",
    "complete",
    "state",
    "data_digest",
    "checkpoint_sha256",
    "protocol",
    "protocol_version",
    "selection",
    "weights",
    "training_digest",
    "parity",
    "psnr",
    "ssim",
    "input_psnr",
    "input_ssim",
    "per_image_sha256",
]
RAIN = protocol("rain-y")


def table(out):
    return pq.read_table(out / "per_image.parquet").to_pylist()


def test_each_row_is_the_score_of_its_image_under_the_protocol(rain_store, tmp_path):
    network = Smooth()
    summary = evaluate_store(network, rain_store, RAIN, tmp_path, keep_images=2)
    rows = table(tmp_path)
    assert [row["id"] for row in rows] == ["1", "2", "3", "4", "5"]
    for row, record in zip(rows, rain_store.records, strict=True):
        scored = RAIN.quantise(restore_image(network, record.input))
        expected = RAIN.score(scored, record.target)
        given = RAIN.score(record.input, record.target)
        assert (row["psnr"], row["ssim"]) == (expected.psnr, expected.ssim)
        assert (row["input_psnr"], row["input_ssim"]) == (given.psnr, given.ssim)
        assert row["restored_sha256"] == array_sha256(scored)
        assert (row["height"], row["width"]) == (24, 32)
    assert summary.psnr == pytest.approx(np.mean([row["psnr"] for row in rows]), abs=1e-12)
    assert summary.psnr > summary.input_psnr
    order = sorted(rows, key=lambda row: row["psnr"])
    kept = {"1", "2"} | {row["id"] for row in (order[0], order[2], order[4])}
    assert {path.stem for path in (tmp_path / "restored").iterdir()} == kept
    kept = np.asarray(Image.open(tmp_path / "restored" / "1.png"))
    assert array_sha256(kept) == rows[0]["restored_sha256"]


def test_images_of_an_earlier_evaluation_are_removed(rain_store, tmp_path):
    evaluate_store(identity, rain_store, RAIN, tmp_path, keep_images=3)
    evaluate_store(identity, rain_store, RAIN, tmp_path, keep_images=1)
    order = sorted(table(tmp_path), key=lambda row: row["psnr"])
    kept = {"1"} | {row["id"] for row in (order[0], order[2], order[4])}
    assert {path.stem for path in (tmp_path / "restored").iterdir()} == kept
    assert len(kept) < 5, "those of the first evaluation are gone"


def test_the_summary_has_exactly_the_documented_keys(rain_store, tmp_path):
    evaluate_store(Smooth(), rain_store, RAIN, tmp_path, row="stages-9", checkpoint_sha256="c" * 64)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary) == KEYS
    assert summary["row"] == "stages-9"
    assert summary["state"] == "measured"
    assert summary["parity"] is True


@pytest.mark.parametrize(
    "store", [{"published_count": 100}, {"complete": False}], ids=["too few", "not vouched for"]
)
def test_a_dataset_that_differs_from_the_published_one_is_partial(store, tmp_path):
    summary = evaluate_store(identity, MemoryStore(records(2), **store), RAIN, tmp_path)
    assert (summary.complete, summary.state) == (False, "partial")


def test_a_dataset_scored_on_a_server_is_waiting_for_it(tmp_path):
    store = MemoryStore(records(2), dataset="DND")
    for box, record in enumerate(store.records):
        record.id, record.target = f"0001_{box + 1:02d}", None
    summary = evaluate_store(identity, store, protocol("dnd-server"), tmp_path)
    assert summary.state == "waiting for the server"
    assert (summary.psnr, summary.input_psnr) == (None, None)
    assert table(tmp_path)[0]["psnr"] is None


def test_the_same_input_gives_the_same_bytes(rain_store, tmp_path):
    for name in ("a", "b"):
        _, timings = evaluate_with_timings(
            Smooth(), rain_store, RAIN, tmp_path / name, keep_images=1
        )
    for path in ("per_image.parquet", "summary.json", "restored/1.png", SEAL):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    assert {p.name for p in (tmp_path / "a").iterdir()} == {
        "per_image.parquet",
        "summary.json",
        "restored",
        SEAL,
    }
    assert [timing.id for timing in timings] == ["1", "2", "3", "4", "5"]


def test_only_a_few_records_are_read_ahead(tmp_path):
    store, depth = MemoryStore(records(12)), []
    calls = iter(range(100))

    def network(y):
        depth.append(len(store.reads) - next(calls))
        return [y]

    evaluate_store(network, store, RAIN, tmp_path)
    assert max(depth) <= 3


class Waits(MemoryStore):
    """Sets an event when a record is read."""

    def __init__(self, count):
        super().__init__(records(count))
        self.read = [threading.Event() for _ in range(count)]

    def __getitem__(self, index):
        self.read[index].set()
        return super().__getitem__(index)


def test_reading_restoring_and_scoring_overlap(tmp_path):
    """Each step waits for another one that starts only if the steps overlap."""
    store, restoring = Waits(3), [threading.Event() for _ in range(3)]
    order = iter(range(3))

    def network(y):
        index = next(order)
        restoring[index].set()
        assert index == 2 or store.read[index + 1].wait(10), (
            "the next image is not read during restoration"
        )
        return [y]

    def score(restored, target):
        assert restoring[1].wait(10), "the next image is not restored during scoring"
        return Score(30.0, 0.9)

    evaluate_store(network, store, replace(RAIN, _score=score), tmp_path)


class Exhausted(torch.nn.Module):
    """Has too little memory for whole images of more than 120 columns."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, y):
        if y.shape[-1] > 120 and isinstance(y, torch.Tensor):
            raise torch.OutOfMemoryError
        return [self.convolution(y)]


def test_exhausted_memory_gives_strips_at_parity_or_is_refused(tmp_path):
    store = MemoryStore([*records(1), *records(2, width=160)[1:]])
    summary = evaluate_store(Exhausted(), store, RAIN, tmp_path / "strips")
    assert summary.parity is True
    assert [row["strips"] for row in table(tmp_path / "strips")] == [None, 1]
    with pytest.raises(EvaluationError, match=r"^2: .*160x24 needs .* MB.*--memory"):
        evaluate_store(Exhausted(), store, RAIN, tmp_path / "refused", budget=10_000)


def test_a_network_that_is_not_the_papers_is_marked_as_not_at_parity(rain_store, tmp_path):
    summary = evaluate_store(Smooth(), rain_store, RAIN, tmp_path, faithful=False)
    assert summary.parity is False
    assert "no parity" in summary.line()


class HalfOperator(torch.nn.Module):
    """The identity, whose adjoint halves, so that the baseline is known."""

    def forward(self, x):
        return x

    def adjoint(self, y):
        return y / 2


def test_compressive_sensing_scores_the_adjoint_as_input(tmp_path):
    network = Smooth(1)
    network.operator = HalfOperator()
    store = MemoryStore(
        [SimpleNamespace(id=r.id, input=None, target=r.target[..., :1]) for r in records(2)],
        task="cs",
        dataset="Set11",
    )
    rules = protocol("cs-y")
    summary = evaluate_store(network, store, rules, tmp_path, ratio=10)
    truth = store.records[0].target
    assert table(tmp_path)[0]["input_psnr"] == pytest.approx(
        rules.score(truth / 2.0, truth).psnr, abs=1e-6
    )
    assert summary.psnr > summary.input_psnr
    assert summary.ratio == 10


def test_infinite_means_are_null_but_infinite_per_image(tmp_path):
    store = MemoryStore(records(2))
    store.records[0].input = store.records[0].target
    summary = evaluate_store(identity, store, RAIN, tmp_path)
    assert summary.psnr is None
    assert (summary.identical, summary.identical_inputs) == (1, 1)
    assert "inf dB" in summary.line() and "1 identical" in summary.line()
    assert json.loads((tmp_path / "summary.json").read_text())["identical"] == 1
    committed = json.loads(commit_scores(tmp_path, summary).read_text())
    assert committed["identical"] == 1 and "psnr" not in committed
    assert table(tmp_path)[0]["psnr"] == float("inf")
    assert summary.ssim is not None


@pytest.mark.parametrize("missing", ["input", "target"])
def test_a_record_without_input_or_target_is_reported(rain_store, tmp_path, missing):
    setattr(rain_store.records[1], missing, None)
    with pytest.raises(DataError, match=f"2 has no {missing} image"):
        evaluate_store(identity, rain_store, RAIN, tmp_path)


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(DataError, match="empty"):
        evaluate_store(identity, MemoryStore([]), RAIN, tmp_path)


def test_non_finite_output_is_reported_with_the_image(rain_store, tmp_path):
    with pytest.raises(EvaluationError, match=r"^1: the network returned NaN"):
        evaluate_store(lambda y: [y * float("nan")], rain_store, RAIN, tmp_path)
