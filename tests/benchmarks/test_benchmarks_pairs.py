"""Pairs are timed in turn, do the same work, and leave a reason where they cannot run."""

import json
import os
import socket
from pathlib import Path

import pytest

from benchmarks.__main__ import RESULTS, ResultFile, main, summary
from benchmarks.machine import slug
from benchmarks.pairs import Candidate, Limits, Pair, differences, in_ways, measure
from benchmarks.rows import ratios
from benchmarks.suites import SUITES

SMALL = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 4}
MACHINE = {
    "device": "cpu",
    "cpu": "AMD EPYC 7B13 64-Core Processor",
    "kernels": "avx2",
    "cores": 4,
    "threads": 2,
    "gpu": None,
    "software": {"torch": "2.13.0+cpu"},
}


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch):
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))


def stand_in(label, factory="writing", units=1, **arguments):
    return Candidate(label, f"pair_stand_ins:{factory}", arguments, units)


def writing(name, log, units=1, **arguments):
    return stand_in(name, units=units, name=name, log=str(log), **arguments)


def measured(pair, limits=None, **options):
    (row,) = measure(pair, limits or Limits(rounds=2, start=60), **options)
    return row


def test_baseline_and_candidate_run_in_turn(tmp_path):
    log = tmp_path / "log"
    row = measured(Pair("case", writing("A", log), writing("B", log)))
    assert log.read_text().split() == ["A", "B", "A", "B", "A", "B"]  # the first two are compared
    assert len(row["rounds"]) == 2 and "not_run" not in row
    low, middle, high = ratios(row, "cuda")
    assert 0 < low <= middle <= high
    assert all(row["memory"][side]["peak_mib"] > 5 for side in ("baseline", "candidate"))


def test_times_are_for_one_piece_of_work(tmp_path):
    pair = Pair("case", writing("A", tmp_path / "log", units=1000), writing("B", tmp_path / "log"))
    a, b = measured(pair)["rounds"][0]["wall"]
    assert 100 * a < b


def test_a_candidate_with_another_result_is_not_timed(tmp_path):
    log = tmp_path / "log"
    pair = Pair("case", writing("A", log), writing("B", log, result=1.01), tolerance=1e-3)
    row = measured(pair)
    assert row["not_run"].startswith("value differs from that of A by 0.01 of its largest value")
    assert row["differences"]["value"]["absolute"] == pytest.approx(0.01)
    assert log.read_text().split() == ["A", "B"] and "rounds" not in row


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (stand_in("B", "failing", message="no /home/me/x y"), "B: ValueError: no x y"),
        (stand_in("B", "ending", status=3), "B: process ended by exit status 3"),
        (
            stand_in("B", "missing"),
            "B: ModuleNotFoundError: No module named 'a_package_that_nobody_has'",
        ),
    ],
    ids=["error", "exit", "package"],
)
def test_the_reason_of_a_failure_is_the_result(tmp_path, candidate, reason):
    pair = Pair("case", writing("A", tmp_path / "log"), candidate)
    row = measured(pair)
    assert row["not_run"] == reason
    assert summary(row, "cpu") == f"case: B against A: not run: {reason}"


def test_a_candidate_that_does_not_answer_is_given_up(tmp_path):
    pair = Pair("case", writing("A", tmp_path / "log"), stand_in("B", "silent"))
    assert measured(pair, Limits(rounds=1, start=3))["not_run"] == "B: no answer in 3 s"


def test_a_pair_that_needs_more_memory_than_is_free_is_not_started(tmp_path):
    log = tmp_path / "log"
    row = measured(Pair("case", writing("A", log), writing("B", log), memory=1 << 60))
    assert "were free" in row["not_run"] and not log.exists()


def test_ctrl_c_keeps_the_rounds_that_were_measured(tmp_path):
    log, ticks, rows = tmp_path / "log", [], []

    def tick(part):
        ticks.append(part)
        if len(ticks) == 2:  # after the comparison and the first round
            raise KeyboardInterrupt

    pair = Pair("case", writing("A", log), writing("B", log))
    with pytest.raises(KeyboardInterrupt):
        for row in measure(pair, Limits(rounds=5, start=60), tick):
            rows.append(row)
    (row,) = rows
    assert len(row["rounds"]) == 1 and ratios(row, "cpu")
    assert row["memory"]["candidate"]["peak_mib"] is not None


def test_differences_name_a_missing_result(tmp_path):
    import numpy as np

    np.savez(tmp_path / "a.npz", x=1.0)
    np.savez(tmp_path / "b.npz", y=1.0)
    with pytest.raises(Exception, match=r"results are \['y'\], those of the baseline \['x'\]"):
        differences(tmp_path / "a.npz", tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("factory", "arguments", "other", "names"),
    [
        ("inference:work", {"size": (32, 48)}, "eager", {"image"}),
        ("training:work", {"patch": 32, "batch": 2}, "recompute", {"loss", "gradients"}),
    ],
    ids=["inference", "training"],
)
def test_real_pairs_do_the_same_work(factory, arguments, other, names):
    arguments = arguments | {"task": "derain", "variant": "DGUNet", "device": "cpu"} | SMALL
    sides = in_ways(f"benchmarks.{factory}", arguments, "literal", other)
    row = measured(Pair("small", *sides, tolerance=2e-5), Limits(rounds=1, threads=1))
    assert "not_run" not in row, row["not_run"]
    assert set(row["differences"]) == names


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_quick_pairs_are_among_all_pairs(suite, device):
    keys = [pair.key for pair in suite.pairs(device, quick=False)]
    quick = [pair.key for pair in suite.pairs(device, quick=True)]
    assert len(set(keys)) == len(keys) and quick
    assert set(quick) < set(keys) or set(quick) == set(keys)


def test_rows_of_earlier_runs_stay_and_unknown_ones_go(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.RESULTS", tmp_path)
    suite = SUITES["sampling"]
    first, second = (pair.key for pair in suite.pairs("cpu", quick=False)[:2])
    unknown = ("no such case", "BlockSampling")
    for key in (second, unknown, first):
        file = ResultFile(suite, MACHINE, {})
        file.add({"case": key[0], "candidate": key[1], "not_run": "x"})
    content = json.loads(file.path.read_text())
    assert [(row["case"], row["candidate"]) for row in content["rows"]] == [first, second]
    assert file.path.name == (
        "sampling-amd-epyc-7b13-64-core-avx2-4cores-2threads-torch2.13.0.json"
    )


def test_ctrl_c_leaves_a_file_and_a_status(tmp_path, monkeypatch, capsys):
    def interrupted(pair, limits, tick):
        yield {"case": pair.case, "candidate": pair.candidate.name, "baseline": "b", "not_run": "x"}
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.__main__.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.__main__.machine_facts", lambda device, threads: MACHINE)
    monkeypatch.setattr("benchmarks.__main__.measure", interrupted)
    monkeypatch.setattr("sys.argv", ["benchmarks", "sampling"])
    assert main() == 130
    (path,) = tmp_path.iterdir()
    (row,) = json.loads(path.read_text())["rows"]
    assert row["case"] == "1 %, 256x256" and len(row["code"]) == 16
    assert capsys.readouterr().err.splitlines()[-1].startswith("interrupted; the rows measured")


def test_a_gpu_names_the_file():
    gpu = MACHINE | {"device": "cuda", "gpu": "NVIDIA H100 80GB HBM3"}
    assert slug(gpu) == "nvidia-h100-80gb-hbm3-torch2.13.0"


def test_the_list_of_pairs_measures_nothing(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "sampling", "--list"])
    monkeypatch.setattr("benchmarks.__main__.run", None)
    assert main() == 0
    assert "sampling: 10 %, 256x256: BlockSampling" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "path",
    [path for name in SUITES for path in RESULTS.glob(f"{name}-*.json")],
    ids=lambda p: p.stem,
)
def test_committed_results_name_neither_host_nor_folders(path):
    text = path.read_text(encoding="utf-8")
    assert socket.gethostname() not in text
    assert not any(folder in text for folder in ("/home", "/tmp", "/work", "/root", "/usr"))
    assert path.stem == f"{json.loads(text)['benchmark']}-{slug(json.loads(text)['machine'])}"
