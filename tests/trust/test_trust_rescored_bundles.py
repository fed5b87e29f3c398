"""Bundles of scores whose images are at hand: paired by a file, scored again, forged.

The images are the sample's Rain100L; a median filter stands for the method.
"""

import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from test_trust_forgeries import reseal, rows_of

from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.result_pairs import Inputs
from dgunet.evaluation.scoring import score_results
from dgunet.tools.bundles import standalone
from dgunet.tools.bundles.checking import check_bundle
from dgunet.tools.bundles.rescoring import ScoredImages
from dgunet.tools.bundles.scored_bundle import bundle_scores

NAME = "evaluations/scores"
RESULTS = {"first": "2", "second": "3", "third": "1"}
"""Names of the results and of their targets, which neither agree nor have the same order."""


def derained(path):
    return cv2.medianBlur(cv2.imread(str(path)), 3)


@pytest.fixture(scope="module")
def scored(sample_root, tmp_path_factory):
    """The results, their targets, the file of pairs, and the bundle of their scores."""
    home = tmp_path_factory.mktemp("rescored")
    images = sample_root / "test" / "Rain100L"
    restored, pairs = home / "restored", home / "pairs.csv"
    restored.mkdir()
    for result, target in RESULTS.items():
        cv2.imwrite(str(restored / f"{result}.png"), derained(images / "input" / f"{target}.png"))
    lines = [f"{result}.png,{target}.png\n" for result, target in RESULTS.items()]
    pairs.write_text("restored,target\n" + "".join(lines))
    targets = shutil.copytree(images / "target", home / "target")
    inputs = Inputs(pairs=pairs)
    rows = list(score_results(restored, targets, protocol("rain-y"), inputs=inputs))
    bundle_scores(rows, restored, targets, home / "bundle", inputs=inputs)
    return SimpleNamespace(restored=restored, targets=targets, pairs=pairs, bundle=home / "bundle")


@pytest.fixture
def sides(scored, tmp_path):
    """Editable copies of the results and the targets."""
    return ScoredImages(
        shutil.copytree(scored.restored, tmp_path / "restored"),
        shutil.copytree(scored.targets, tmp_path / "target"),
    )


def faults(bundle, sides):
    return check_bundle(bundle, rescore=sides).faults


def test_the_scores_are_those_of_the_pairs(scored):
    rows = {row.id: row for row in rows_of(scored.bundle, NAME)}
    assert sorted(rows) == sorted(RESULTS.values())
    rules = protocol("rain-y")
    for result, target in RESULTS.items():
        given, truth = (
            cv2.imread(str(folder / f"{name}.png"))[..., ::-1].copy()
            for folder, name in ((scored.restored, result), (scored.targets, target))
        )
        wanted = rules.score(given, truth)
        assert (rows[target].psnr, rows[target].ssim) == (wanted.psnr, wanted.ssim)
    mean = sum(row.psnr for row in rows.values()) / 3
    summary = json.loads((scored.bundle / NAME / "summary.json").read_text())
    assert summary["psnr"] == pytest.approx(mean, abs=1e-12)
    assert (scored.bundle / NAME / "pairs.csv").read_text().count("\n") == 4


def test_honest_images_at_hand_give_the_same_scores(scored, sides, dgunet, tmp_path):
    assert standalone.verify(scored.bundle).faults == []
    assert faults(scored.bundle, sides) == []
    out, words = tmp_path / "out.zip", ("--protocol", "rain-y", "--pairs", scored.pairs)
    done = dgunet("score", sides.restored, sides.targets, *words, "--bundle", out)
    assert done.returncode == 0, done.stderr
    done = dgunet("verify", out, "--restored", sides.restored, "--targets", sides.targets)
    assert done.returncode == 0, done.stdout
    assert "3 images scored again" in done.stdout


def test_images_that_were_swapped_are_refused(scored, sides):
    first, second = sides.restored / "first.png", sides.restored / "second.png"
    first.rename(sides.restored / "x")
    second.rename(first)
    (sides.restored / "x").rename(second)
    found = faults(scored.bundle, sides)
    for target in ("2", "3"):
        assert any(f"'{target}': another image was scored" in fault for fault in found), found
    assert not any("'1'" in fault for fault in found)


def test_a_file_of_pairs_that_was_swapped_is_refused(scored, sides, tmp_path):
    copy = shutil.copytree(scored.bundle, tmp_path / "copy")
    path = copy / NAME / "pairs.csv"
    lines = path.read_text().replace("first", "x").replace("second", "first").replace("x", "second")
    path.write_text(lines)
    reseal(copy)
    found = faults(copy, sides)
    assert any("'2': another image was scored" in fault for fault in found), found


def test_a_target_at_hand_in_place_of_the_result_is_refused(scored, sides):
    shutil.copyfile(sides.targets / "2.png", sides.restored / "first.png")
    found = faults(scored.bundle, sides)
    assert any("'2': another image was scored" in fault for fault in found), found
    assert any("'2': the image in restored is its target" in fault for fault in found), found


@pytest.mark.parametrize("form", ["png", "npy"])
def test_a_target_submitted_as_the_result_is_not_bundled(scored, sides, dgunet, tmp_path, form):
    target = cv2.imread(str(sides.targets / "2.png"))
    (sides.restored / "first.png").unlink()
    if form == "png":
        cv2.imwrite(str(sides.restored / "first.png"), target)
    else:
        np.save(sides.restored / "first.npy", target[..., ::-1].astype(np.float64) / 255.0)
    pairs = tmp_path / "pairs.csv"
    text = scored.pairs.read_text()
    pairs.write_text(text.replace("first.png", f"first.{form}"))
    out = tmp_path / "out.zip"
    words = ("score", sides.restored, sides.targets, "--protocol", "rain-y", "--pairs", pairs)
    done = dgunet(*words, "--bundle", out)
    if done.returncode == 0:
        done = dgunet("verify", out)
        said = done.stdout
    else:
        said = done.stderr
    assert done.returncode == 1
    assert "'2'" in said
    assert "a target was submitted" in said


@pytest.mark.parametrize("side", ["restored", "targets"])
def test_a_missing_image_is_refused_by_name(scored, sides, side):
    name = "third.png" if side == "restored" else "1.png"
    (getattr(sides, side) / name).unlink()
    (fault,) = faults(scored.bundle, sides)
    assert "pairs.csv, line 4: " in fault
    assert f"'{name}' is not among the 2 images" in fault
    assert str(scored.bundle) not in fault


def test_another_target_at_hand_is_named_as_such(scored, sides):
    path = sides.targets / "3.png"
    image = cv2.imread(str(path))
    image[0, 0] ^= 1
    cv2.imwrite(str(path), image)
    found = faults(scored.bundle, sides)
    assert any("'3': another target was scored than the one in target" in each for each in found)
    assert not any("another image" in each for each in found), found


def test_a_missing_image_is_not_scored(scored, sides, dgunet, tmp_path):
    (sides.restored / "third.png").unlink()
    pairs, out = scored.pairs, tmp_path / "out.zip"
    words = ("score", sides.restored, sides.targets, "--protocol", "rain-y", "--pairs", pairs)
    done = dgunet(*words, "--bundle", out)
    assert done.returncode == 1
    assert "third.png" in done.stderr
    assert not out.exists()


def test_the_images_of_a_bundle_of_results_are_not_scored_again(bundles, sides):
    (fault,) = faults(bundles.folder, sides)
    assert "only a bundle of `dgunet score --bundle` can be scored again" in fault
