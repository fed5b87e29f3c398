"""A score has the same bits whatever the CPU: OpenCV's and numpy's kernels are those of AVX2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

SCRIPT = Path(__file__).with_name("score_digests.py")
AVX512 = "AVX512_SKX,AVX512_CNL,AVX512_CLX,AVX512_ICL"


def scores(before="", **settings):
    """The scores in a new process; ``before`` runs first."""
    code = f"import runpy, sys, cv2\n{before}\nrunpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(SCRIPT)],
        env=os.environ | settings | {"PYTHONPATH": str(SCRIPT.parents[2])},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here():
    return scores()


@pytest.mark.parametrize(
    "machine",
    [
        {"OPENCV_CPU_DISABLE": AVX512, "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"},
        {"OPENCV_IPP": "sse42"},
        {"OPENCV_IPP": "disabled", "OPENBLAS_CORETYPE": "Zen"},
    ],
    ids=["without-avx512", "other-ipp", "without-ipp"],
)
def test_scores_are_those_of_another_machine(machine, here):
    assert scores(**machine) == here


@pytest.mark.skipif(cv2.ipp.getIppVersion() == "disabled", reason="this OpenCV has no IPP")
def test_with_ipp_they_would_not_be(here):
    """Else the tests above show nothing."""
    assert scores("cv2.ipp.setUseIPP = lambda use: None") != here
