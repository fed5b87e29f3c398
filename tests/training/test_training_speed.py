"""Options for faster or smaller steps give the same training as plain steps."""

import os
import shutil

import numpy as np
import pytest
import torch
from training_small import changed, settings
from training_trajectories import ONE_THREAD, TINY, Stripes

from dgunet.network import DGUNet, preset
from dgunet.training import train
from dgunet.training.speed import recomputing

PLAIN = settings(iterations=4, learning_rate=1e-3, patch=32, warmup=0, loss="charbonnier-edge")


def run(task, given, variant="DGUNet"):
    torch.manual_seed(0)
    network = DGUNet(preset(task, variant, ratio=10 if task == "cs" else None, **TINY))
    result = train(network, Stripes(network.config.channels), given, ONE_THREAD)
    losses = [r.loss for r in result.reports]
    return losses, [r.gradient_norm for r in result.reports], network


def same(task, given, variant="DGUNet", *, rtol):
    (a, norms_a, _), (b, norms_b, network) = (run(task, c, variant) for c in (PLAIN, given))
    np.testing.assert_allclose(b, a, rtol=rtol)
    np.testing.assert_allclose(norms_b, norms_a, rtol=100 * rtol)
    return network


@pytest.mark.parametrize("flag", ["channels_last", "fused_adam"])
@pytest.mark.parametrize("task", ["derain", "cs"])
def test_faster_steps_are_within_rounding_of_plain_steps(task, flag):
    same(task, changed(PLAIN, **{flag: True}), rtol=1e-4)


@pytest.mark.parametrize("variant", ["DGUNet", "DGUNet+"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_recomputing_is_exact(variant, average):
    plain = run("derain", changed(PLAIN, average=average), variant)
    again = run("derain", changed(PLAIN, average=average, recompute=True), variant)
    assert plain[:2] == again[:2]
    tensors = zip(plain[2].parameters(), again[2].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in tensors)


def test_recomputing_saves_memory_and_restores_the_network():
    network = DGUNet(preset("derain", **TINY))
    image = torch.rand(1, 3, 32, 32)

    def kept():
        sizes = []

        def pack(tensor):
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(image)
        return sum(sizes)

    before = kept()
    with recomputing(network, True):
        assert kept() < before / 10
    assert kept() == before


def test_channels_last_reaches_the_weights():
    network = run("derain", changed(PLAIN, channels_last=True, iterations=1))[2]
    weight = network.first.encoder.blocks[0].first.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("DGUNET_TEST_COMPILE") != "1", reason="a minute; set DGUNET_TEST_COMPILE=1"
)
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
@pytest.mark.parametrize("recompute", [False, True])
def test_compiled_steps_are_within_rounding(recompute):
    same("derain", changed(PLAIN, compile=True, recompute=recompute), rtol=1e-4)
