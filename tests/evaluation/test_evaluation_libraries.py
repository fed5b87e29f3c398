"""The conventions against scikit-image, torchmetrics, piq and pyiqa.

Their values on images made by a formula are committed; `DGUNET_TEST_LIBRARIES=1` computes them
again, each library in an environment of its own, made by uv. To replace the file:
`python tests/evaluation/test_evaluation_libraries.py`.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import library_values
import numpy as np
import pytest

from dgunet.evaluation.convention_scores import PairScores
from dgunet.evaluation.conventions import CONVENTIONS
from dgunet.evaluation.explanation import Explanation

FILE = Path(__file__).with_name("library_values.json")
SCRIPT = Path(library_values.__file__)
RECORDED = json.loads(FILE.read_text()) if FILE.exists() else {}

CLOSE = {
    "scikit-image": {"psnr": 1e-9, "ssim": 1e-9},
    "torchmetrics": {"psnr": 1e-5, "ssim": 1e-6},  # its range and its window are float32
    # float32, and 1e-8 is added to the mean squared error
    "piq": {"psnr": 2e-4, "ssim": 1e-5},
    # likewise; negative contrasts count as zero in its SSIM
    "pyiqa": {"psnr": 2e-4, "ssim": 1e-4},
}


def line_of(value):
    """The same number by this project, for one recorded value."""
    made = library_values.rounded if value["outputs"] == "8-bit" else library_values.restored
    sizes = library_values.SIZES
    explanation = Explanation()
    for name in sizes if value["size"] == "all" else [value["size"]]:
        pair = made(sizes[name]), library_values.target(sizes[name])
        lines = [CONVENTIONS[value["convention"]]]
        explanation.add(name, PairScores(*pair).measure(lines))
    (score,) = explanation.scores()
    return score.value(value["metric"].upper())


@pytest.mark.parametrize("library", library_values.REQUIREMENTS)
def test_conventions_give_the_values_of_the_library(library):
    recorded = RECORDED[library]
    assert len(recorded["values"]) >= 8
    for requirement in library_values.REQUIREMENTS[library]:
        name, _, version = requirement.partition("==")
        assert recorded["versions"][name].partition("+")[0] == version
    for value in recorded["values"]:
        close = CLOSE[library][value["metric"]]
        assert line_of(value) == pytest.approx(value["value"], rel=0, abs=close), value


def test_the_values_tell_the_conventions_apart():
    """Otherwise the comparison could pass with the wrong convention."""
    found = {}
    for each in RECORDED.values():
        for value in each["values"]:
            if value["metric"] == "ssim" and value["convention"] != "pyiqa-other":
                found.setdefault(value["convention"], {})[value["size"]] = value["value"]
    for one, other in itertools.combinations(sorted(found), 2):
        both = found[one].keys() & found[other].keys()
        gaps = [abs(found[one][size] - found[other][size]) for size in both]
        assert max(gaps, default=1.0) > 1e-5, (one, other)
    assert len(found) >= 12


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("DGUNET_TEST_LIBRARIES") != "1",
    reason="downloads gigabytes; set DGUNET_TEST_LIBRARIES=1 and have uv",
)
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("library", library_values.REQUIREMENTS)
def test_the_committed_values_are_those_of_the_library(library, tmp_path):
    again = values_of(library, Path(os.environ.get("DGUNET_TEST_LIBRARIES_AT", tmp_path)))
    for value, old in zip(again["values"], RECORDED[library]["values"], strict=True):
        assert value.pop("value") == pytest.approx(old["value"], rel=1e-6)
        assert value == {key: old[key] for key in value}


def values_of(library, folder):
    """Run the script in the library's environment in ``folder``, which is made if needed."""
    python = folder / library / "bin" / "python"
    if not python.exists():
        python.parents[1].parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["uv", "venv", "--python", "3.11", python.parents[1]], check=True)
        command = ["uv", "pip", "install", "--python", python]
        subprocess.run([*command, *library_values.REQUIREMENTS[library]], check=True)
    answer = subprocess.run(
        [python, SCRIPT, library], check=True, stdout=subprocess.PIPE, text=True, timeout=1800
    )
    return json.loads(answer.stdout.splitlines()[-1])


def test_the_images_are_those_of_the_formula():
    """The values belong to these pixels."""
    size = library_values.SIZES["odd"]
    assert library_values.target(size)[:2, :3].tolist() == [
        [[0, 60, 0], [3, 63, 2], [7, 66, 4]],
        [[2, 63, 3], [6, 66, 6], [9, 69, 8]],
    ]
    assert np.abs(library_values.restored(size) * 255 - library_values.rounded(size)).max() <= 0.5


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        found = {name: values_of(name, folder) for name in library_values.REQUIREMENTS}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
