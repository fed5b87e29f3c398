"""The page of measured performance is what the files of results give."""

import json
import shutil

import pytest

from benchmarks.page import RESULTS, page, result_files
from benchmarks.suites import SUITES

ROW = {
    "case": "10 %, 256x256",
    "baseline": "literal",
    "candidate": "BlockSampling",
    "date": "2026-01-02",
    "code": "0123456789abcdef",
    "differences": {"image": {"absolute": 1e-6, "relative": 2e-6}},
    "flops": None,
    "load": [0.5, 1.5],
    "rounds": [{"cpu": [0.006, 0.002], "wall": [0.008, 0.002]}] * 3,
    "memory": {
        side: {"start_mib": 1.0, "peak_mib": 2.0, "gpu_peak_mib": 1.0}
        for side in ("baseline", "candidate")
    },
}


@pytest.fixture
def written(tmp_path):
    """Write one file of results; gives the page of it."""
    (committed,) = result_files()["sampling"][:1]

    def write(*rows, **machine):
        content = committed | {"rows": list(rows), "machine": committed["machine"] | machine}
        (tmp_path / "sampling-made.json").write_text(json.dumps(content), encoding="utf-8")
        return page(tmp_path)

    return write


def test_the_committed_page_is_generated(project):
    """See `python -m benchmarks.page > docs/performance.md`."""
    assert (project / "docs/performance.md").read_text(encoding="utf-8") == page()


def test_every_benchmark_has_results():
    assert all(result_files().values())


def test_a_number_of_the_page_comes_from_the_rounds(written):
    assert "| **3.00** (3.00 to 3.00 in 3) | 4.00 | 6 → 2 | 8 → 2 |" in written(ROW)
    slower = ROW | {"rounds": [*ROW["rounds"], {"cpu": [0.006, 0.003], "wall": [0.008, 0.002]}]}
    text = written(slower)
    assert "| **3.00** (2.00 to 3.00 in 4) |" in text and "Load average 0.5 to 1.5" in text


def test_what_was_not_run_is_on_the_page(written):
    lost = {"case": "x", "candidate": "y", "baseline": "z", "date": "2026-01-02", "code": "0"}
    text = written(ROW, lost | {"not_run": "y: no such package"})
    assert "- not run: x, y: y: no such package" in text and "| x | – | not run |" in text


def test_gpus_are_not_measured_until_a_file_says_so(written):
    assert "**GPUs.** Not measured" in written(ROW)
    text = written(ROW, device="cuda", gpu="NVIDIA H100")
    assert "**GPUs.** Rows of a GPU" in text
    assert "| **4.00** (4.00 to 4.00 in 3) |" in text and "Sampling steps: NVIDIA H100" in text


def test_a_benchmark_without_a_file_is_not_measured(tmp_path):
    assert page(tmp_path).count("\nNot measured.\n") == len(SUITES)
    for path in RESULTS.glob("metrics-*.json"):
        shutil.copy(path, tmp_path)
    assert page(tmp_path).count("\nNot measured.\n") == len(SUITES) - 1
