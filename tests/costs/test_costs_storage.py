"""Estimated bytes against files that are really written."""

import pytest
import torch

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.costs.image_sizes import image_sizes, stated_sizes
from dgunet.costs.storage import (
    checkpoint_bytes,
    prepared_bytes,
    results_bytes,
    unfinished_bytes,
)
from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.data.store.prepare import prepare_dataset
from dgunet.network import DGUNet, preset, save_network
from dgunet.system.errors import DataError
from dgunet.training import Checkpoints, train


def taken(folder):
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_pairs_take_their_pixels_times_channels_times_halves():
    """Rain100L: 100 x 480 x 320 pixels, three channels, degraded and clean."""
    assert prepared_bytes("Rain100L") == 100 * 480 * 320 * 3 * 2
    assert prepared_bytes("BSD400") == 400 * 180 * 180
    assert prepared_bytes("DND") == 1_000 * 512 * 512 * 3 * 4
    patches = prepared_bytes("SIDD-train", recipe="released")
    assert patches == 320 * 300 * 256**2 * 3 * 2
    whole = prepared_bytes("DIV2K")
    assert prepared_bytes("DIV2K", recipe="released") == 4 * whole


def test_a_recipe_that_does_not_use_the_set_is_refused():
    with pytest.raises(DataError, match="not a training set"):
        prepared_bytes("Rain100L", recipe="released")


@pytest.mark.parametrize("name", ["Rain100L", "SIDD", "Set11"])
def test_a_written_store_has_the_estimated_bytes(sample_root, tmp_path, name):
    prepare_dataset(name, sample_root / "test", tmp_path / "s", profile="sample")
    expected = prepared_bytes(name, sizes=image_sizes(name, tmp_path / "s"))
    assert expected <= taken(tmp_path / "s") < 1.25 * expected + 50_000


@pytest.mark.benchmarks_data
@pytest.mark.parametrize("name", ["Rain100L", "Set11", "BSD68", "BSD400"])
def test_real_stores_have_the_estimated_bytes(benchmarks, tmp_path, name):
    for layout in ("raw", "compact"):
        prepare_dataset(name, benchmarks, tmp_path / layout, profile="paper", layout=layout)
    raw = prepared_bytes(name)
    assert raw <= taken(tmp_path / "raw") < 1.05 * raw
    assert taken(tmp_path / "compact") <= 1.02 * prepared_bytes(name, layout="compact")


def test_results_are_rows_and_the_kept_images():
    none = results_bytes("Rain100L")
    assert 0 < none < 100_000
    assert results_bytes("Rain100L", keep_images=2) == none + (2 + 3) * 480 * 320 * 3
    assert results_bytes("Rain100L", keep_images=500) == none + 100 * 480 * 320 * 3
    dnd = results_bytes("DND")
    assert dnd > 2 * prepared_bytes("DND")
    sizes = stated_sizes("DND")
    largest = max(height * width for (height, width), _ in sizes.counts)
    assert results_bytes("DND", keep_images=2) == dnd + 2 * largest * 3, "none is the best"


def test_an_unfinished_evaluation_that_keeps_images_has_all_of_them():
    assert unfinished_bytes("Rain100L") == 0
    assert unfinished_bytes("Rain100L", keep_images=1) == stated_sizes("Rain100L").pixels * 3
    assert unfinished_bytes("Set11", keep_images=1) == stated_sizes("Set11").pixels
    assert unfinished_bytes("DND", keep_images=1) == 0


def test_every_dataset_has_an_estimate():
    for name in CATALOGUE:
        assert prepared_bytes(name) > prepared_bytes(name, layout="compact") > 0


class Noise:
    """Batches of one sample of noise."""

    batch = 1

    def part(self, step, positions):
        image = torch.rand(1, 3, 32, 32)
        return image, image


def test_a_saved_network_and_a_training_checkpoint_have_the_estimated_bytes(tmp_path):
    config = preset("derain", n_feat=16, scale=8, stages=3)
    network = DGUNet(config)
    save_network(network, tmp_path / "network.safetensors")
    weights = (tmp_path / "network.safetensors").stat().st_size
    assert weights == pytest.approx(checkpoint_bytes(config), rel=0.05)
    settings = TrainingSettings(iterations=1, batch=1, patch=32, learning_rate=1e-4, warmup=0)
    checkpoints = Checkpoints(tmp_path / "steps", {}, seconds=0)
    runtime = RuntimeSettings(device="cpu", threads=0)
    train(network, Noise(), settings, runtime, checkpoints=checkpoints)
    checkpoints.wait()
    (file,) = (tmp_path / "steps").iterdir()
    best = checkpoint_bytes(config)  # only a training with a validation has these weights
    expected = checkpoint_bytes(config, training=True) - best
    assert file.stat().st_size == pytest.approx(expected, rel=0.15)
