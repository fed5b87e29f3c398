"""Training batches depend only on the seed and the step."""

from threading import Event

import numpy as np
import pytest
import torch
from data_stores import write_store
from hypothesis import given, settings
from hypothesis import strategies as st

from dgunet.data.batches.augment import dihedral
from dgunet.data.batches.training_batches import SamplePrefetcher, TrainingBatches
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.records import LoadedPair
from dgunet.system.errors import DataError


@pytest.fixture(scope="module")
def rain(prepared):
    return PairStore.open(prepared("Rain13K"))


def test_a_batch_is_input_and_target_in_the_unit_range(rain):
    y, x = TrainingBatches(rain, patch=32, batch=5, seed=1)(0)
    for batch in (y, x):
        assert batch.shape == (5, 3, 32, 32)
        assert batch.dtype == torch.float32
        assert 0 <= batch.min() < batch.max() <= 1
    assert y.mean() > x.mean(), "rain makes images brighter"


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 10_000), min_size=2, max_size=4))
def test_any_order_of_steps_gives_the_same_batches(rain, seed, steps):
    forward = TrainingBatches(rain, patch=16, batch=3, seed=seed)
    first = {step: forward(step) for step in steps}
    again = TrainingBatches(PairStore.open(rain.folder), patch=16, batch=3, seed=seed)
    for step in reversed(steps):
        for a, b in zip(first[step], again(step), strict=True):
            assert torch.equal(a, b)


def test_other_seeds_and_other_steps_give_other_batches(rain):
    base = TrainingBatches(rain, patch=32, batch=2, seed=1)
    other = TrainingBatches(rain, patch=32, batch=2, seed=2)
    assert not torch.equal(base(0)[0], other(0)[0])
    assert not torch.equal(base(0)[0], base(1)[0])


def test_an_epoch_contains_every_image_once_in_its_own_order(rain):
    batches = TrainingBatches(rain, patch=16, batch=1, seed=3)
    epochs = [
        [batches._index(epoch * len(rain) + position) for position in range(len(rain))]
        for epoch in range(3)
    ]
    for order in epochs:
        assert sorted(order) == list(range(len(rain)))
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory):
    """Images whose pixels are (row, column, image number); inputs are inverted."""
    pairs = []
    for number, (height, width) in enumerate([(40, 50), (30, 60), (24, 24)]):
        rows, columns = np.mgrid[:height, :width].astype(np.uint8)
        clean = np.dstack([rows, columns, np.full_like(rows, number)])
        pairs.append(LoadedPair(str(number), 255 - clean, clean))
    folder = tmp_path_factory.mktemp("coordinates") / "store"
    write_store(folder, pairs)
    return PairStore.open(folder)


def test_a_patch_is_the_same_square_of_input_and_target(coordinates):
    batches = TrainingBatches(coordinates, patch=24, batch=1, seed=5)
    corners, turns = set(), set()
    for step in range(300):
        y, x = batches.sample(step, 0)
        np.testing.assert_array_equal(y, 255 - x)
        number = batches._index(step)
        top, left = int(x[..., 0].min()), int(x[..., 1].min())
        square = coordinates[number].target[top : top + 24, left : left + 24]
        fitting = [code for code in range(8) if np.array_equal(dihedral(square, code), x)]
        assert len(fitting) == 1, f"step {step}"
        turns.add(fitting[0])
        corners.add((number, top, left))
    assert turns == set(range(8))
    tops = {top for number, top, _ in corners if number == 0}
    assert (min(tops), max(tops)) == (0, 16), "the last possible crop is included"


def test_without_augmentation_patches_keep_their_orientation(coordinates):
    batches = TrainingBatches(coordinates, patch=24, batch=1, seed=5, augment=None)
    for step in range(10):
        _, x = batches.sample(step, 0)
        assert (np.diff(x[..., 0].astype(int), axis=0) == 1).all()
        assert (np.diff(x[..., 1].astype(int), axis=1) == 1).all()


def test_compressive_sensing_trains_on_clean_grey_patches(prepared):
    store = PairStore.open(prepared("BSD400"))
    y, x = TrainingBatches(store, patch=32, batch=4, seed=1)(0)
    assert x.shape == (4, 1, 32, 32)
    assert torch.equal(y, x)


def test_small_images_are_mirrored_at_the_right_and_bottom(prepared):
    store = PairStore.open(prepared("BSD400"))
    batches = TrainingBatches(store, patch=128, batch=1, seed=1, augment=None)
    _, patch = batches.sample(0, 0)
    image = store[batches._index(0)].target
    assert image.shape == (90, 90, 1)
    np.testing.assert_array_equal(patch[:90, :90], image)
    np.testing.assert_array_equal(patch[90:, :90], image[51:89][::-1])
    np.testing.assert_array_equal(patch[:, 90:], patch[:, 51:89][:, ::-1])


# Prefetching.


def test_prefetched_samples_are_the_same_in_any_order(rain):
    plain, ahead = (
        TrainingBatches(rain, patch=16, batch=6, seed=4, workers=workers) for workers in (0, 3)
    )
    requests = [
        (0, (0, 2)),
        (0, (4,)),
        (1, (0, 2)),
        (1, (4, 1)),
        (2, (5, 0, 5)),
        (7, (3,)),
        (3, (1,)),
    ]
    for step, positions in [*requests, (30, range(6)), (31, range(6)), (0, (0, 2))]:
        for a, b in zip(plain.part(step, positions), ahead.part(step, positions), strict=True):
            assert torch.equal(a, b), (step, positions)


def test_only_the_next_step_is_prefetched():
    made = []
    ready = Event()

    def make(step, positions):
        made.extend((step, position) for position in positions)
        if (step, 1) == (1, positions[-1]):
            ready.set()
        return [(step, position) for position in positions]

    ahead = SamplePrefetcher(make, 1)
    assert ahead.take(0, [0, 1]) == [(0, 0), (0, 1)]
    assert ready.wait(10), "the next step was not prefetched"
    assert made == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert ahead.take(1, [1, 0, 1]) == [(1, 1), (1, 0), (1, 1)]
    assert made.count((1, 0)) == made.count((1, 1)) == 1, "each sample is made once"
    for step in range(2, 50):
        ahead.take(step, [0, 1])
        assert len(ahead._made) <= 4


def test_a_prefetching_error_is_raised_when_the_sample_is_requested():
    def make(step, positions):
        if step == 1:
            raise DataError("tile 7 is damaged.", "Prepare again.")
        return [(step, position) for position in positions]

    ahead = SamplePrefetcher(make, 2)
    assert ahead.take(0, [0]) == [(0, 0)]
    with pytest.raises(DataError, match="tile 7"):
        ahead.take(1, [0])


def test_the_record_cache_of_a_store_is_bounded(rain, monkeypatch):
    monkeypatch.setattr("dgunet.data.store.store_reader.REMEMBERED", 5)
    store = PairStore.open(rain.folder)
    for index in [*range(len(store)), *range(len(store))]:
        assert store[index].id == rain[index].id
        assert len(store._records) <= 5


def test_a_dataset_without_clean_images_is_refused_for_training(prepared):
    with pytest.raises(DataError, match="no clean images"):
        TrainingBatches(PairStore.open(prepared("DND")), patch=16, batch=1, seed=1)
