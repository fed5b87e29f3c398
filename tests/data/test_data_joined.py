"""Training from several joined datasets with different pixel types and layouts."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from data_stores import write_store

from dgunet.data.batches.holdout import hold_out
from dgunet.data.batches.joined_store import JoinedStore
from dgunet.data.batches.training_batches import TrainingBatches
from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.records import LoadedPair
from dgunet.system.errors import DataError
from dgunet.system.seals import write_seal


def grey(number, dtype=np.uint8):
    """A constant image, whose crops are identified by its value."""
    value = number if dtype == np.uint8 else np.float32(number / 255)
    return np.full((40, 40, 1), value, dtype)


def store(folder, numbers, dtype=np.uint8, layout="raw", **changes):
    """Write a dataset with the name of its folder and one image per number; gives the folder."""
    pairs = [LoadedPair(f"p{n}", None, grey(n, dtype)) for n in numbers]
    write_store(folder, pairs, layout=layout)
    path = folder / "manifest.json"
    named = {"dataset": folder.name, "task": "cs"} | changes
    if info := (CATALOGUE | FURTHER).get(named["dataset"]):
        facts = ("task", "role", "protocol")
        named |= {fact: getattr(info, fact) for fact in facts} | {"published_count": info.pairs}
    path.write_text(json.dumps(json.loads(path.read_text()) | named))
    write_seal(folder)
    return folder


@pytest.fixture
def joined(tmp_path):
    """Three 8-bit grey images joined with two of float32."""
    return JoinedStore.open(
        [
            store(tmp_path / "BSD400", [10, 20, 30], layout="compact"),
            store(tmp_path / "DIV2K", [40, 50], np.float32),
        ]
    )


def test_records_of_joined_stores_are_concatenated(joined):
    assert [joined[i].id for i in range(len(joined))] == ["p10", "p20", "p30", "p40", "p50"]
    assert joined.manifest.dataset == "BSD400+DIV2K"
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            joined[outside]


def test_a_batch_mixes_pixel_types_on_one_scale(joined):
    seen = set()
    batches = TrainingBatches(joined, patch=32, batch=5, seed=1)
    for step in range(3):
        degraded, clean = batches(step)
        assert clean.dtype == torch.float32
        assert torch.equal(degraded, clean)
        seen |= {round(255 * value) for value in clean.flatten(1).amax(1).tolist()}
    assert seen == {10, 20, 30, 40, 50}


def test_an_epoch_contains_every_image_once_per_crop(joined):
    batches = TrainingBatches(joined, patch=32, batch=5, seed=1, crops=4)
    epochs = [[i for step in range(4 * e, 4 * e + 4) for i in batches.ids(step)] for e in (0, 1)]
    for epoch in epochs:
        assert Counter(epoch) == dict.fromkeys(["p10", "p20", "p30", "p40", "p50"], 4)
    assert epochs[0] != epochs[1]
    assert epochs[0][:5] != ["p10", "p20", "p30", "p40", "p50"]


def test_the_digest_depends_on_all_stores_and_their_order(tmp_path):
    a, b = store(tmp_path / "A", [1, 2]), store(tmp_path / "B", [3])
    one, two = JoinedStore.open([a, b]), JoinedStore.open([b, a])
    assert isinstance(JoinedStore.open([a]), PairStore)
    assert len({s.manifest.digest for s in (one, two, PairStore.open(a))}) == 3


def test_validation_images_are_held_out_of_the_joined_store(joined):
    kept, held = hold_out(joined, 0.4, seed=3)
    assert sorted(kept + held) == [0, 1, 2, 3, 4]
    assert len(held) == 2


@pytest.mark.parametrize(
    ("name", "changes", "match"),
    [
        ("Rain13K", {"task": "derain"}, "has task 'derain', .* has 'cs'"),
        ("DIV2K", {"profile": "paper"}, "has profile 'paper'"),
        ("other", {"dataset": "BSD400"}, "a dataset occurs twice: BSD400, BSD400"),
    ],
)
def test_datasets_that_cannot_be_joined_are_refused(tmp_path, name, changes, match):
    one = store(tmp_path / "BSD400", [1])
    with pytest.raises(DataError, match=match):
        JoinedStore.open([one, store(tmp_path / name, [2], **changes)])
