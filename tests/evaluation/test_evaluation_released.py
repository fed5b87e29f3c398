"""The network under the released test's ensemble and tiles, against its recorded outputs."""

import importlib.util

import numpy as np
import pytest
import torch

from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.restoration import eightfold, restore_image
from dgunet.network import DGUNet, preset
from dgunet.network.official import official_keys

pytestmark = pytest.mark.benchmarks_data


@pytest.fixture(scope="module")
def filled(golden, project):
    """Networks with the recipe's weights."""
    path = project / "tests" / "network" / "golden.py"
    spec = importlib.util.spec_from_file_location("golden_recipe", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)

    def make(config):
        network = DGUNet(config).eval()
        targets, weights = network.state_dict(), recipe.golden_state(config)
        for theirs, ours in official_keys(config):
            targets[ours].copy_(weights[theirs])
        return network

    return make


def test_eightfold_output_of_the_released_network(golden, filled):
    with np.load(golden / "derain_dgunet__x8_1x3x32x48.npz") as arrays:
        x, expected = torch.from_numpy(arrays["x"]).double(), torch.from_numpy(arrays["out64"])
    network = filled(preset("derain")).double()
    with torch.inference_mode():
        result = eightfold(lambda y: network(y)[-1], x)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", ["60x100", "64x64"])
def test_sampling_pipeline_of_the_released_code(golden, filled, size):
    with np.load(golden / "cs_pipeline_deblock_r10_tile64.npz") as arrays:
        image, expected = arrays[f"img_{size}"][..., None], arrays[f"rec_{size}"][..., None]
    network = filled(preset("cs", ratio=10))
    restored = restore_image(network, image, blocks=64)
    scored = protocol("cs-y").quantise(restored)
    np.testing.assert_allclose(scored / 255, expected, rtol=0, atol=2e-5)
