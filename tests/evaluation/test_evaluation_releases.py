"""An evaluation is measured on the published release only; another one is partial."""

import numpy as np
import pytest
from evaluation_stand_ins import evaluate_store
from made_results import edit
from PIL import Image

from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.restoration import identity
from dgunet.evaluation.results import read_result
from dgunet.system.errors import EvaluationError


@pytest.fixture
def evaluate(tmp_path):
    """A function that evaluates a made-up Test100 with that number of pairs; gives the folder."""

    def run(pairs):
        random = np.random.default_rng(0)
        for half in ("input", "target"):
            (tmp_path / "root/Test100" / half).mkdir(parents=True)
        for name in range(pairs):
            clean = np.full((16, 16, 3), random.integers(60, 180), np.uint8)
            noisy = clean + random.integers(0, 40, clean.shape, np.uint8)
            for half, image in (("input", noisy), ("target", clean)):
                Image.fromarray(image).save(tmp_path / "root/Test100" / half / f"{name}.png")
        prepare_dataset("Test100", tmp_path / "root", tmp_path / "store", profile="paper")
        store, rules = PairStore.open(tmp_path / "store"), protocol("rain-y")
        evaluate_store(identity, store, rules, tmp_path / "out", checkpoint_sha256="c" * 64)
        return tmp_path / "out"

    return run


def test_a_test100_of_98_pairs_is_measured(evaluate):
    summary = read_result(evaluate(98))
    assert (summary.images, summary.published_images) == (98, 98)
    assert (summary.complete, summary.state) == (True, "measured")
    assert "98 of 98 images" in summary.line()


def test_a_test100_of_100_pairs_is_partial_and_names_its_release(evaluate):
    out = evaluate(100)
    summary = read_result(out)
    assert (summary.images, summary.published_images) == (100, 98)
    assert (summary.complete, summary.state) == (False, "partial")
    assert '100 images ("Rain800\'s test half"), not the published 98' in summary.line()
    edit(out / "summary.json", complete=True, state="measured")
    with pytest.raises(EvaluationError, match="for 100 images of the profile paper it must be"):
        read_result(out)
