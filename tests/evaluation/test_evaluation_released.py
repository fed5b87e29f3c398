"""The ensemble and block-wise restoration against recorded outputs of the released code."""

import importlib.util

import numpy as np
import pytest
import torch

from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.restoration import eightfold, restore_image

pytestmark = pytest.mark.benchmarks_data


@pytest.fixture(scope="module")
def filled(golden, project):
    """A function that makes networks with the golden weights."""
    path = project / "tests" / "network" / "network_golden.py"
    spec = importlib.util.spec_from_file_location("golden_recipe", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe.golden_network


def test_eightfold_output_agrees_with_the_released_code(golden, filled):
    with np.load(golden / "derain_dgunet__x8_1x3x32x48.npz") as arrays:
        x, expected = torch.from_numpy(arrays["x"]).double(), torch.from_numpy(arrays["out64"])
    network = filled("derain_dgunet").double()
    with torch.inference_mode():
        result = eightfold(lambda y: network(y)[-1], x)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", ["60x100", "64x64"])
def test_the_compressive_sensing_pipeline_agrees_with_the_released_code(golden, filled, size):
    with np.load(golden / "cs_pipeline_deblock_r10_tile64.npz") as arrays:
        image, expected = arrays[f"img_{size}"][..., None], arrays[f"rec_{size}"][..., None]
    network = filled("cs_dgunet_deblock_r10")
    restored = restore_image(network, image, blocks=64)
    scored = protocol("cs-y").quantise(restored)
    np.testing.assert_allclose(scored / 255, expected, rtol=0, atol=2e-5)
