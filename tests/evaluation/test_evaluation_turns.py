"""The lock on a folder of results: one evaluation at a time, released with its process."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from evaluation_stand_ins import Smooth, evaluate_store, locked, merge, score_rows, unfinished

from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.unfinished import alone
from dgunet.system.errors import EvaluationError
from dgunet.system.leftovers import partial_name

RAIN = protocol("rain-y")
SETTINGS = Settings(row="DGUNet", checkpoint_sha256="c" * 64)

SLOW = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from evaluation_stand_ins import MemoryStore, Smooth, evaluate_store, records
from dgunet.evaluation.protocols import protocol
torch.set_num_threads(1)

class Waits(Smooth):
    def forward(self, y):
        print("restoring", flush=True)
        sys.stdin.readline()
        return super().forward(y)

known = {"checkpoint_sha256": "c" * 64}
evaluate_store(Waits(), MemoryStore(records(3)), protocol("rain-y"), Path(sys.argv[1]), **known)
"""

FILES = {"per_image.parquet", "summary.json", "SHA256SUMS"}
"""The files of a result without kept images."""


@pytest.fixture
def evaluating(tmp_path):
    """Another process that evaluates into ``tmp_path`` and waits for a line before each image."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path), os.path.dirname(__file__)],  # noqa: PTH120
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "restoring\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_concurrent_evaluation_is_refused_with_the_process_of_the_first(
    evaluating, rain_store, tmp_path
):
    message = rf"{re.escape(str(tmp_path))} is being evaluated by process {evaluating.pid} on \S+"
    with pytest.raises(EvaluationError, match=message):
        evaluate_store(Smooth(), rain_store, RAIN, tmp_path, checkpoint_sha256="c" * 64)
    with pytest.raises(EvaluationError, match=message):
        merge(rain_store, RAIN, tmp_path, SETTINGS)
    with pytest.raises(EvaluationError, match=message):
        score_rows(Smooth(), rain_store, RAIN, tmp_path, SETTINGS, shard=(0, 2))
    evaluating.communicate("\n\n\n", timeout=60)
    assert evaluating.returncode == 0, "the first evaluation is not affected"
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_the_lock_of_a_killed_evaluation_is_released(evaluating, rain_store, tmp_path):
    evaluating.send_signal(signal.SIGKILL)
    evaluating.wait()
    evaluate_store(Smooth(), rain_store, RAIN, tmp_path, checkpoint_sha256="c" * 64)
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_rows_of_shards_stay_until_they_are_merged(rain_store, tmp_path):
    for part in (1, 0):
        score_rows(Smooth(), rain_store, RAIN, tmp_path, SETTINGS, shard=(part, 2))
        assert list(unfinished(tmp_path).glob("*/work/*.jsonl"))
    merge(rain_store, RAIN, tmp_path, SETTINGS)
    assert not list(unfinished(tmp_path).iterdir())


def test_a_second_equal_evaluation_waits_for_the_first(tmp_path, caplog):
    """Its work may be locked by a machine that is lost, until the file server notices."""
    taken, place = threading.Event(), tmp_path / "place"

    def first():
        with alone(place, tmp_path / "one"):
            taken.set()
            time.sleep(0.5)

    thread = threading.Thread(target=first)
    thread.start()
    assert taken.wait(30)
    refused = pytest.raises(
        EvaluationError, match=f"two is being evaluated by process {os.getpid()}"
    )
    with refused, alone(place, tmp_path / "two", seconds=0.1):
        pass
    with alone(place, tmp_path / "two", seconds=60):
        thread.join(30)
    assert "Waiting up to 60 s" in caplog.text


def test_a_lock_leaves_no_files(tmp_path):
    with alone(tmp_path / "new" / "place", tmp_path / "out"):
        assert (tmp_path / "new" / "place" / "lock").exists()
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]


def test_a_folder_with_other_content_is_refused_before_it_would_be_replaced(rain_store, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(EvaluationError, match=r"out contains notes\.txt, which is not a result"):
        evaluate_store(Smooth(), rain_store, RAIN, out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_an_emptied_folder_of_results_loses_no_row_and_keeps_its_lock(rain_store, tmp_path):
    """DVC removes the outputs of a stage before it runs the stage."""
    out, seen = tmp_path / "out", []
    score_rows(Smooth(), rain_store, RAIN, out, SETTINGS)
    with locked(rain_store, RAIN, out, SETTINGS):
        shutil.rmtree(out, ignore_errors=True)
        with pytest.raises(EvaluationError, match=f"process {os.getpid()}"):
            evaluate_store(Smooth(), rain_store, RAIN, out, checkpoint_sha256="c" * 64)
    known = {"checkpoint_sha256": "c" * 64}
    evaluate_store(Smooth(), rain_store, RAIN, out, on_row=lambda *row: seen.append(row), **known)
    assert seen == []


TAKES = """
import sys
from pathlib import Path
from dgunet.system.errors import EvaluationError
from dgunet.evaluation.unfinished import alone
place, mark, had = Path(sys.argv[1]), Path(sys.argv[2]), 0
while had < 100:
    try:
        with alone(place, mark.parent / "out"):
            mark.open("x").close()  # fails if another process holds the lock
            mark.unlink()
            had += 1
    except EvaluationError:
        pass
"""


def test_the_lock_is_exclusive_although_its_file_is_removed_each_time(tmp_path):
    command = [sys.executable, "-c", TAKES, str(tmp_path / "place"), str(tmp_path / "mark")]
    racers = [subprocess.Popen(command) for _ in range(2)]
    assert [racer.wait(timeout=120) for racer in racers] == [0, 0]


def test_leftovers_of_killed_evaluations_are_removed_by_the_next(rain_store, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    name = partial_name("per_image", suffix=".parquet")
    process.wait()
    dead = name.replace(f"-{os.getpid()}-", f"-{process.pid}-")
    (tmp_path / "restored").mkdir()
    for folder in (tmp_path, tmp_path / "restored"):
        (folder / dead).touch()
    evaluate_store(Smooth(), rain_store, RAIN, tmp_path, checkpoint_sha256="c" * 64)
    remaining = {path.name for path in tmp_path.rglob("*")}
    assert remaining == FILES
