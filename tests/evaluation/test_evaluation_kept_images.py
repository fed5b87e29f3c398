"""Which restored images a result keeps: the first ones, and the best, the median and the worst."""

from math import inf
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation_stand_ins import MemoryStore, box_store, evaluate_store, merge, score_rows, work_of
from hypothesis import given
from hypothesis import strategies as st

from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.kept_images import kept_image_path, kept_indices, ranked_images
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.runner import score_part
from dgunet.system.parts import Part

RULES = protocol("gopro-rgb")
FEW = st.sampled_from([-1.0, 20.0, 20.5, 31.25, inf])
"""Few values, so that many are equal."""


@pytest.mark.parametrize(
    ("psnrs", "best", "median", "worst"),
    [
        ([30.0], 0, 0, 0),
        ([30.0, 31.0], 1, 0, 0),
        ([31.0, 29.0, 30.0], 0, 2, 1),
        ([29.0, 31.0, 30.0, 32.0], 3, 2, 0),
        ([30.0, 30.0, 30.0], 0, 0, 0),
        ([28.0, 31.0, 31.0, 28.0], 1, 0, 0),
        ([30.0, inf, 29.0, inf, 28.0], 1, 0, 4),
    ],
)
def test_the_first_of_equal_images_has_the_rank(psnrs, best, median, worst):
    assert ranked_images(psnrs) == {"best": best, "median": median, "worst": worst}


@pytest.mark.parametrize("psnrs", [[], [None, None], [30.0, None]])
def test_images_that_only_a_server_scores_have_no_rank(psnrs):
    assert ranked_images(psnrs) == {}


@given(st.lists(FEW, min_size=1, max_size=12), st.integers(0, 15))
def test_the_first_images_and_the_ranked_ones_are_kept(psnrs, first):
    rows = [SimpleNamespace(psnr=psnr) for psnr in psnrs]
    kept = kept_indices(rows, first)
    if first == 0:
        assert kept == []
        return
    ranked = set()
    for place in (0, (len(psnrs) - 1) // 2, len(psnrs) - 1):
        # The value at this place has fewer images below it than the place, and enough up to it.
        (index,) = (
            i
            for i, psnr in enumerate(psnrs)
            if sum(other < psnr for other in psnrs) <= place < sum(o <= psnr for o in psnrs)
            and psnr not in psnrs[:i]
        )
        ranked.add(index)
    assert kept == sorted(ranked | set(range(min(first, len(psnrs)))))


def errors(*sizes):
    """A store whose images differ from their targets by a number of grey levels."""
    made = []
    for number, size in enumerate(sizes, start=1):
        target = np.full((12, 12, 3), 100, np.uint8)
        record = SimpleNamespace(id=f"set/{number}", input=target + np.uint8(size), target=target)
        made.append(record)
    return MemoryStore(made)


def identity(y):
    return [y]


KEEP = Settings(row="DGUNet", checkpoint_sha256="c" * 64, keep_images=1)
STORE = (4, 9, 2, 0, 7, 9, 0)
KEPT = {"set__1.png", "set__2.png", "set__4.png"}
"""First and median (an error of 4), worst (9, of two) and best (0, infinite, of two)."""


def images(folder):
    return {path.name: path.read_bytes() for path in (folder / "restored").glob("*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    evaluate_store(identity, errors(*STORE), RULES, out, **settings())
    return images(out)


def settings():
    return {"checkpoint_sha256": KEEP.checkpoint_sha256, "keep_images": KEEP.keep_images}


def test_a_result_has_the_first_the_best_the_median_and_the_worst_image(whole):
    assert set(whole) == KEPT


def test_without_kept_images_there_are_none_of_any_rank(tmp_path):
    evaluate_store(identity, errors(*STORE), RULES, tmp_path / "out", keep_images=0)
    assert images(tmp_path / "out") == {}


@pytest.mark.parametrize("shards", [1, 3])
def test_the_kept_images_are_the_same_for_every_number_of_shards(whole, tmp_path, shards):
    store, out = errors(*STORE), tmp_path / "out"
    for shard in reversed(range(shards)):
        score_rows(identity, store, RULES, out, KEEP, shard=(shard, shards))
    merge(store, RULES, out, KEEP)
    assert images(out) == whole


def test_the_kept_images_are_the_same_for_parts(whole, tmp_path):
    store, out = errors(*STORE), tmp_path / "out"
    for number in (2, 3, 1):
        score_part(identity, store, RULES, work_of(store, RULES, out, KEEP), KEEP, Part(number, 3))
    merge(store, RULES, out, KEEP)
    assert images(out) == whole


def test_a_resumed_evaluation_has_the_images_of_the_killed_one(whole, tmp_path):
    """Also that of the image that a kill between the row and its picture would leave without."""
    store, out, restored = errors(*STORE), tmp_path / "out", []

    def network(y):
        restored.append(round(float(y.mean()) * 255) - 100)
        if len(restored) == 5:
            raise KeyboardInterrupt
        return [y]

    with pytest.raises(KeyboardInterrupt):
        evaluate_store(network, store, RULES, out, **settings())
    work = work_of(store, RULES, out, KEEP)
    kept_image_path(work, "set/2").unlink()
    evaluate_store(network, store, RULES, out, **settings())
    assert images(out) == whole
    assert restored[:5] == [4, 9, 2, 0, 7]
    assert 9 in restored[5:] and 4 not in restored[5:]
    assert not work.exists()


def test_of_a_set_that_a_server_scores_the_first_images_are_kept(tmp_path):
    store, rules = box_store(images=1), protocol("dnd-server")
    score_rows(identity, store, rules, tmp_path / "out", KEEP)
    work = work_of(store, rules, tmp_path / "out", KEEP)
    assert set(images(work)) == {"0001_01.png"}, "the others are not kept for a rank either"
    merge(store, rules, tmp_path / "out", KEEP)
    assert set(images(tmp_path / "out")) == {"0001_01.png"}
