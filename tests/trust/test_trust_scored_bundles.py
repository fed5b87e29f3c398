"""Bundles of any method's scores: `dgunet score --bundle`, and scoring their images again."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from test_trust_forgeries import refused, reseal, rewrite, rows_of

from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.rows import Row
from dgunet.evaluation.scoring import score_results
from dgunet.system.errors import EvaluationError
from dgunet.tools.bundles import standalone
from dgunet.tools.bundles.checking import check_bundle
from dgunet.tools.bundles.rescoring import ScoredImages
from dgunet.tools.bundles.scored_bundle import bundle_scores

NAME = "evaluations/scores"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Three targets and results, and the bundle of their scores."""
    home = tmp_path_factory.mktemp("scored")
    random = np.random.default_rng(1)
    for name in ("a", "b", "c"):
        target = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        noise = random.integers(-9, 10, target.shape)
        result = np.clip(target.astype(int) + noise, 0, 255).astype(np.uint8)
        for side, image in (("target", target), ("restored", result)):
            (home / side).mkdir(exist_ok=True)
            cv2.imwrite(str(home / side / f"{name}.png"), image)
    rows = list(score_results(home / "restored", home / "target", protocol("rain-y")))
    bundle_scores(rows, home / "restored", home / "target", home / "bundle")
    images = ScoredImages(home / "restored", home / "target")
    return SimpleNamespace(home=home, bundle=home / "bundle", rows=rows, images=images)


@pytest.fixture
def copy(scored, tmp_path):
    return shutil.copytree(scored.bundle, tmp_path / "copy")


def test_an_honest_bundle_of_scores_is_accepted_and_its_images_give_the_same_scores(scored):
    assert standalone.verify(scored.bundle).faults == []
    assert check_bundle(scored.bundle, rescore=scored.images).faults == []
    assert not list(scored.bundle.rglob("*.png"))


def test_the_command_scores_bundles_and_verifies(scored, dgunet, tmp_path):
    sides = scored.home / "restored", scored.home / "target"
    out = tmp_path / "scores.zip"
    done = dgunet("score", *sides, "--protocol", "rain-y", "--bundle", out)
    assert done.returncode == 0, done.stderr
    done = dgunet("verify", out, "--restored", sides[0], "--targets", sides[1])
    assert done.returncode == 0, done.stdout
    assert "1 evaluations averaged again over 3 images" in done.stdout
    done = dgunet("verify", out, "--restored", sides[1], "--targets", sides[1])
    assert done.returncode == 1
    assert "'a': another image was scored than the one in target" in done.stdout
    done = dgunet("score", *sides, "--protocol", "rain-y", "--bundle", out)
    assert (done.returncode, "exists" in done.stderr) == (1, True)
    done = dgunet("score", *sides, "--protocol", "rain-y", "--dataset", "Test100")
    assert (done.returncode, "are for a bundle" in done.stderr) == (1, True)


def test_a_target_that_is_submitted_as_a_result_is_refused(scored, tmp_path):
    mixed = shutil.copytree(scored.home / "restored", tmp_path / "mixed")
    shutil.copyfile(scored.home / "target" / "b.png", mixed / "b.png")
    rows = list(score_results(mixed, scored.home / "target", protocol("rain-y")))
    bundle_scores(rows, mixed, scored.home / "target", tmp_path / "bundle")
    refused(tmp_path / "bundle", "the result of 'b' equals its target: a target was submitted")
    changed = [replace(row, psnr=min(row.psnr, 60.0)) for row in rows]
    rewrite(tmp_path / "bundle", changed, NAME)
    reseal(tmp_path / "bundle")
    refused(tmp_path / "bundle", "the result of 'b' is its target: a target was submitted")


def test_scores_that_were_changed_with_everything_else_are_found_by_scoring_again(copy, scored):
    rewrite(copy, [replace(row, psnr=row.psnr + 1) for row in rows_of(copy, NAME)], NAME)
    reseal(copy)
    assert check_bundle(copy).faults == [], "without the images or a signature nobody can tell"
    faults = check_bundle(copy, rescore=scored.images).faults
    assert len(faults) == 3
    assert "'a': psnr is" in faults[0]


def test_swapped_images_are_found_by_scoring_again(copy, scored):
    first, second, third = rows_of(copy, NAME)
    rewrite(copy, [replace(second, id="a"), replace(first, id="b"), third], NAME)
    reseal(copy)
    faults = check_bundle(copy, rescore=scored.images).faults
    assert any("'a': another image was scored" in fault for fault in faults), faults


def test_an_absent_image_is_found_by_scoring_again(copy, scored, tmp_path):
    fewer = shutil.copytree(scored.home / "restored", tmp_path / "fewer")
    (fewer / "c.png").unlink()
    faults = check_bundle(copy, rescore=ScoredImages(fewer, scored.home / "target")).faults
    assert any("'c' is in the bundle and not among the images" in each for each in faults)


@pytest.mark.parametrize(
    ("test_set", "count", "reason"),
    [
        ("Test100", 97, "97 of 98 images of Test100"),
        ("Test100", 100, "Rain800's test half"),
        ("Set11", 11, "Set11 is scored under cs-y, not rain-y"),
    ],
)
def test_a_test_set_is_whole_and_of_the_published_release(
    scored, tmp_path, test_set, count, reason
):
    row = scored.rows[0]
    rows: list[Row] = [replace(row, id=str(number)) for number in range(count)]
    with pytest.raises(EvaluationError, match=reason):
        bundle_scores(rows, *scored_sides(scored), tmp_path / "out", test_set=test_set)
    assert not (tmp_path / "out").exists()


def scored_sides(scored):
    return scored.home / "restored", scored.home / "target"


def test_scores_of_a_part_that_are_called_a_test_set_are_refused(copy):
    rewrite(copy, rows_of(copy, NAME), NAME, dataset="Test100", published_images=98)
    reseal(copy)
    refused(copy, "3 of 98 images of Test100: not the whole test set")
    rewrite(copy, rows_of(copy, NAME), NAME, complete=True)
    reseal(copy)
    refused(copy, "3 of 98 images of Test100 are called complete")
