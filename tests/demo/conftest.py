"""A project with tiny networks, and the demo that offers them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))  # the browser of the screenshots

pytest.importorskip("gradio", reason="the packages of requirements.demo.lock are not installed")

from demo_server import running  # noqa: E402

from dgunet.network import DGUNet, preset, save_network  # noqa: E402


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A project with random weights for deraining and deblurring, as the sample labels them."""
    home = tmp_path_factory.mktemp("project")
    (home / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for seed, task in enumerate(("derain", "deblur")):
        torch.manual_seed(seed)
        network = DGUNet(preset(task, n_feat=8, scale=4, stages=3))
        path = home / f"build/models/trained/{task}-DGUNet/network.safetensors"
        save_network(network, path, {"profile": "sample"})
    return home


@pytest.fixture(scope="session")
def weights(home):
    return home / "build/models/trained/derain-DGUNet/network.safetensors"


@pytest.fixture(scope="session")
def demo(home, tmp_path_factory):
    """One demo for all tests; that of stopping comes last."""
    with running(home, tmp_path_factory.mktemp("temporary"), "--memory", "8GB") as demo:
        yield demo


@pytest.fixture
def photo():
    """An image in which an order of its pixels shows."""
    rows, columns = np.mgrid[0:72, 0:96]
    return np.stack([rows * 3, columns * 2, (rows + columns) % 64 * 4], axis=2).astype(np.uint8)
