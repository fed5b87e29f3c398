"""A score has the same bits whatever the CPU: OpenCV's and numpy's kernels are those of AVX2."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dgunet.imaging.opencv import AVX512_ON, _has_avx512, cv2

SCRIPT = Path(__file__).with_name("score_digests.py")
COMMITTED = Path(__file__).with_name("score_digests.json")
"""What the script prints, from an AMD EPYC of the Zen 3 kind, which has no AVX-512."""

NUMPY_AVX512 = "X86_V4 AVX512_ICL AVX512_SPR"
OPENCV = "from dgunet.imaging.opencv import cv2"


def scores(before="", **settings):
    """The scores in a new process; ``before`` runs first."""
    code = f"import runpy, sys\n{before}\nrunpy.run_path(sys.argv[1], run_name='__main__')"
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
        {"NPY_DISABLE_CPU_FEATURES": NUMPY_AVX512},
        {"OPENCV_IPP": "sse42"},
        {"OPENCV_IPP": "disabled", "OPENBLAS_CORETYPE": "Zen"},
    ],
    ids=["without-avx512", "other-ipp", "without-ipp"],
)
def test_scores_are_those_of_another_machine(machine, here):
    assert scores(**machine) == here


def test_scores_are_the_committed_ones(here):
    """The file comes from another machine wherever the tests run on another kind of CPU."""
    assert here == json.loads(COMMITTED.read_text(encoding="utf-8"))


@pytest.mark.skipif(cv2.ipp.getIppVersion() == "disabled", reason="this OpenCV has no IPP")
def test_with_ipp_they_would_not_be(here):
    """Else the tests above show nothing."""
    assert scores(f"{OPENCV}\ncv2.ipp.setUseIPP = lambda use: None") != here


@pytest.mark.skipif(not _has_avx512(), reason="this CPU has no AVX-512")
def test_with_avx512_they_would_not_be(here):
    assert scores("import cv2") != here


def test_without_the_instructions_of_avx2_they_would_not_be(here):
    """OpenCV obeys the variable, and what a user leaves out stays left out."""
    assert scores(OPENCV_CPU_DISABLE="AVX2") != here


def test_opencv_leaves_out_avx512_and_the_environment_is_as_before():
    assert AVX512_ON not in cv2.getCPUFeaturesLine().split()
    assert "OPENCV_CPU_DISABLE" not in os.environ


def test_every_module_takes_opencv_from_one_place():
    package = SCRIPT.parents[2] / "dgunet"
    found = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"^\s*(import|from) cv2\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found == ["imaging/opencv.py"]
