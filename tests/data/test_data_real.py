"""Preparation of real images, if DGUNET_BENCHMARKS is set to their folder."""

import numpy as np
import pytest

from dgunet.data.catalogue.entries import dataset
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.system.errors import DataError

pytestmark = pytest.mark.benchmarks_data


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("Set11", {(256, 256, 1), (512, 512, 1)}),
        ("BSD68", {(481, 321, 1), (321, 481, 1)}),
        ("BSD400", {(180, 180, 1)}),
        ("Rain100L", {(321, 481, 3), (481, 321, 3), (320, 480, 3), (480, 320, 3)}),
    ],
)
def test_a_complete_real_dataset_is_marked_complete(benchmarks, tmp_path, name, sizes):
    manifest = prepare_dataset(name, benchmarks, tmp_path / name, profile="paper")
    assert manifest.complete
    assert manifest.count == dataset(name).pairs
    assert {record.shape for record in PairStore.open(tmp_path / name)} <= sizes


def test_a_part_of_a_dataset_is_not_marked_complete(benchmarks, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "Rain13K").symlink_to(benchmarks / "Rain13K_train_sample")
    manifest = prepare_dataset("Rain13K", tmp_path / "root", tmp_path / "s", profile="paper")
    assert (manifest.count, manifest.complete) == (40, False)
    store = PairStore.open(tmp_path / "s")
    assert [record.id for record in store] == [str(number) for number in range(1, 41)]
    for record in store:
        error = record.input.astype(float) - record.target.astype(float)
        assert 8 < 20 * np.log10(255 / np.sqrt((error**2).mean())) < 35


def test_a_dataset_without_its_targets_is_refused(benchmarks, tmp_path):
    with pytest.raises(DataError, match="Rain100H/target"):
        prepare_dataset("Rain100H", benchmarks, tmp_path / "s", profile="paper")
