"""Interrupted and sharded evaluations give the results of an uninterrupted one."""

import multiprocessing
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch
from evaluation_stand_ins import (
    MemoryStore,
    Smooth,
    evaluate_store,
    merge,
    records,
    score_rows,
    unfinished,
    work_of,
)

from dgunet.evaluation import processes
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.runner import (
    Settings,
    count_done,
)
from dgunet.system.errors import EvaluationError

RAIN = protocol("rain-y")


class DiesAfter(Smooth):
    """Is interrupted after the given number of calls."""

    def __init__(self, calls):
        super().__init__()
        self.left = calls

    def forward(self, y):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().forward(y)


def test_a_killed_evaluation_resumes_where_it_stopped(rain_store, tmp_path):
    known = {"checkpoint_sha256": "c" * 64}
    evaluate_store(Smooth(), rain_store, RAIN, tmp_path / "whole", **known)
    with pytest.raises(KeyboardInterrupt):
        evaluate_store(DiesAfter(4), rain_store, RAIN, tmp_path / "killed", **known)
    journal = next(unfinished(tmp_path / "killed").glob("*/work/*.jsonl"))
    finished = len(journal.read_text().splitlines()) - 1
    assert 1 <= finished <= 4
    with journal.open("a") as handle:
        handle.write('[4, {"id": "torn')
    seen = []
    evaluate_store(
        DiesAfter(5 - finished),
        rain_store,
        RAIN,
        tmp_path / "killed",
        on_row=lambda row, done, total: seen.append((row.id, done, total)),
        **known,
    )
    assert [done for _, done, _ in seen] == list(range(finished + 1, 6))
    for name in ("per_image.parquet", "summary.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("changed", ["checkpoint", "keep", "no checkpoint"])
def test_rows_of_another_evaluation_are_not_reused(rain_store, tmp_path, changed):
    first = {"checkpoint_sha256": "" if changed == "no checkpoint" else "c" * 64}
    with pytest.raises(KeyboardInterrupt):
        evaluate_store(DiesAfter(4), rain_store, RAIN, tmp_path, **first)
    again = first | {"checkpoint": {"checkpoint_sha256": "e" * 64}, "keep": {"keep_images": 1}}.get(
        changed, {}
    )
    seen = []
    evaluate_store(
        Smooth(),
        rain_store,
        RAIN,
        tmp_path,
        on_row=lambda row, done, total: seen.append(done),
        **again,
    )
    assert seen == [1, 2, 3, 4, 5]


SHARED = Settings(row="DGUNet", checkpoint_sha256="c" * 64, keep_images=2)


def test_two_shards_give_the_results_of_one(rain_store, tmp_path):
    evaluate_store(
        Smooth(), rain_store, RAIN, tmp_path / "one", checkpoint_sha256="c" * 64, keep_images=2
    )
    for part in (1, 0):
        score_rows(Smooth(), rain_store, RAIN, tmp_path / "two", SHARED, shard=(part, 2))
        work = work_of(rain_store, RAIN, tmp_path / "two", SHARED)
        done = count_done(rain_store, RAIN, work, SHARED)
        assert done == (2 if part else 5)
    merge(rain_store, RAIN, tmp_path / "two", SHARED)
    for name in ("per_image.parquet", "summary.json", "restored/2.png"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


class Dawdles(Smooth):
    """Slow enough to be killed between two images."""

    def forward(self, y):
        time.sleep(0.2)
        return super().forward(y)


def run_slowly(out):
    torch.set_num_threads(1)
    store = MemoryStore(records(5))
    evaluate_store(Dawdles(), store, RAIN, out, checkpoint_sha256="c" * 64, keep_images=2)


def test_a_process_killed_by_sigkill_loses_no_finished_row(rain_store, tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=run_slowly, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 60
    place = unfinished(tmp_path)
    while sum(path.read_text().count("\n") for path in place.glob("*/work/*.jsonl")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not (tmp_path / "per_image.parquet").exists()
    seen = []
    known = {"checkpoint_sha256": "c" * 64, "keep_images": 2}
    evaluate_store(
        Smooth(),
        rain_store,
        RAIN,
        tmp_path,
        on_row=lambda row, done, total: seen.append(row.id),
        **known,
    )
    assert 1 <= len(seen) <= 3
    evaluate_store(Smooth(), rain_store, RAIN, tmp_path / "whole", **known)
    for name in ("per_image.parquet", "summary.json", "restored/1.png"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_worker_killed_for_lack_of_memory_gives_a_one_line_error():
    killed = Future()
    killed.set_exception(BrokenProcessPool())
    with pytest.raises(EvaluationError, match=r"was killed.*fewer --processes"):
        processes._result(killed)


def test_merging_too_early_reports_the_missing_images(rain_store, tmp_path):
    score_rows(Smooth(), rain_store, RAIN, tmp_path, SHARED, shard=(0, 2))
    with pytest.raises(EvaluationError, match=r"2 of 5 images .* the first is 2"):
        merge(rain_store, RAIN, tmp_path, SHARED)
