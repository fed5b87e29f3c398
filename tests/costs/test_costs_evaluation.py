"""Counted operations and passes are those that the evaluation's own code makes."""

import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dgunet.costs.evaluation_cost import ENSEMBLE, TILES_TOGETHER, evaluation_cost, image_passes
from dgunet.costs.image_sizes import ImageSizes, image_sizes, stated_sizes
from dgunet.costs.machines import given_machine
from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.restoration import restore_image
from dgunet.network import DGUNet, DGUNetConfig, preset
from dgunet.network.describe import describe_network
from dgunet.network.size import count_operations
from dgunet.system.errors import ConfigError, DataError


def restored_operations(config: DGUNetConfig, rules, height, width):
    """Count the operations while `restore_image` restores one image, and the calls."""
    network, batches = DGUNet(config).eval(), []

    def counted(y):
        batches.append(tuple(y.shape))
        return network(y)

    image = np.zeros((height, width, config.channels), np.uint8)
    with FlopCounterMode(display=False) as counter:
        restore_image(counted, image, self_ensemble=rules.self_ensemble, blocks=rules.tile)
    return counter.get_total_flops(), batches


def test_every_inner_stage_costs_the_same():
    three, four, five = (
        count_operations(preset("derain", n_feat=8, scale=4, stages=k), 48, 64) for k in (3, 4, 5)
    )
    assert five - four == four - three > 0


@pytest.mark.parametrize(
    ("name", "size"),
    [("Rain100L", (37, 50)), ("SIDD", (32, 40)), ("Set11", (128, 130)), ("BSD68", (40, 128))],
)
def test_an_evaluation_costs_what_the_restoration_of_its_images_takes(name, size):
    task = {"Rain100L": "derain", "SIDD": "denoise"}.get(name, "cs")
    config = preset(task, ratio=10 if task == "cs" else None, n_feat=8, scale=4, stages=3)
    rules = protocol(CATALOGUE[name].protocol)
    measured, batches = restored_operations(config, rules, *size)
    cost = evaluation_cost(name, config, sizes=ImageSizes(((size, 3),), "this test"))
    assert cost.operations == 3 * measured
    assert cost.passes == 3 * sum(batch[0] for batch in batches)
    together = max(batch[0] * batch[2] * batch[3] for batch in batches)
    assert cost.pixels_together >= together
    assert cost.pixels_together <= together * 1.6  # the padding of these small images


def test_passes_are_tiles_and_the_eight_of_the_self_ensemble():
    assert image_passes(protocol("rain-y"), 321, 481) == (1, (321, 481))
    assert image_passes(protocol("cs-y"), 256, 256) == (9, (128, 128))  # a whole tile more
    assert image_passes(protocol("cs-y"), 321, 481) == (12, (128, 128))
    assert image_passes(protocol("sidd-blocks"), 256, 256) == (ENSEMBLE, (256, 256))
    assert ENSEMBLE == 8
    assert TILES_TOGETHER == 16


def test_an_evaluation_by_hand():
    """Set11 has nine images of 256 and two of 512 pixels: 9 x 9 + 2 x 25 tiles of 128 x 128."""
    config = preset("cs", ratio=10, n_feat=8, scale=4, stages=3)
    cost = evaluation_cost("Set11", config)
    assert cost.passes == 9 * 9 + 2 * 25
    assert cost.operations == cost.passes * describe_network(config, (128, 128)).flops
    assert cost.pixels_together == 16 * 128**2
    machine = given_machine(1)
    assert cost.seconds(machine) == pytest.approx(cost.operations / 1e12)
    assert cost.seconds(machine, 4) == pytest.approx(cost.operations / 4e12)


def test_a_network_of_another_task_is_refused(small):
    with pytest.raises(ConfigError, match="Set11 is a set of cs"):
        evaluation_cost("Set11", small)
    with pytest.raises(DataError, match="Nowhere"):
        evaluation_cost("Nowhere", small)


def test_the_memory_grows_with_the_largest_image(small):
    def memory(*sizes):
        counts = tuple((size, 1) for size in sizes)
        return evaluation_cost("Rain100L", small, sizes=ImageSizes(counts, "this test")).memory

    few, many = memory((64, 64)), memory((64, 64), (256, 256))
    assert few < many == memory((256, 256))
    assert (many - few) / (memory((128, 64)) - few) == pytest.approx(15, rel=1e-3)
    before = torch.random.get_rng_state()
    memory((64, 64))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_dataset_has_sizes_of_all_its_pairs_and_a_source():
    for name, info in CATALOGUE.items():
        sizes = stated_sizes(name)
        assert sizes.images == info.pairs, name
        assert sizes.source, name
        assert all(height > 0 and width > 0 for (height, width), _ in sizes.counts)


def test_a_prepared_store_replaces_the_stated_sizes(sample_root, tmp_path):
    store = tmp_path / "Rain100L"
    prepare_dataset("Rain100L", sample_root / "test", store, profile="sample")
    found = image_sizes("Rain100L", store)
    shapes = [record.shape[:2] for record in PairStore.open(store)]
    assert found.images == len(shapes)
    assert {size for size, _ in found.counts} == set(shapes)
    assert found.pixels == sum(height * width for height, width in shapes)
    assert not found.assumed and "prepared store" in found.source
    assert image_sizes("Rain100L", tmp_path / "absent") == stated_sizes("Rain100L")
    with pytest.raises(DataError, match="holds Rain100L, not Rain100H"):
        image_sizes("Rain100H", store)


@pytest.mark.benchmarks_data
@pytest.mark.parametrize("name", ["Set11", "BSD68", "BSD400", "Rain100L"])
def test_the_stated_sizes_are_those_of_the_real_images(benchmarks, tmp_path, name):
    prepare_dataset(name, benchmarks, tmp_path / name, profile="paper")
    assert dict(image_sizes(name, tmp_path / name).counts) == dict(stated_sizes(name).counts)
    assert not stated_sizes(name).assumed


def test_measured_evaluations_took_what_was_predicted_as_the_page_says(project):
    page = (project / "docs/costs.md").read_text()
    measured = json.loads((project / "benchmarks/results/cost_accuracy.json").read_text())
    for row in measured["results"]:
        ratios = [row[f"ratio_of_{kind}"] for kind in ("seconds", "cpu_seconds", "memory")]
        assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios), row["case"]
        (line,) = (line for line in page.splitlines() if line.startswith(f"| {row['case']}, "))
        assert line.endswith(" | ".join(["", *(f"{ratio:.2f}" for ratio in ratios)]) + " |")
