"""The literal network of the benchmarks computes what our network computes."""

import pytest
import torch

from benchmarks.literal_network import literal_network
from dgunet.network import DGUNet, preset
from dgunet.network.official import official_keys, official_state
from dgunet.terms import TASKS, VARIANTS

SMALL = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 6}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}


def pair(task, variant, dtype):
    torch.manual_seed(0)
    ratio = 10 if task == "cs" else None
    network = DGUNet(preset(task, variant, ratio=ratio, **SMALL)).to(dtype).eval()
    with torch.no_grad():  # distinct values, so that a slope or step of another place is noticed
        for parameter in network.parameters():
            parameter.mul_(1 + 0.2 * torch.rand_like(parameter))
    return network, literal_network(network.config, official_state(network))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", TASKS)
def test_the_literal_network_agrees_in_every_stage(task, variant, dtype):
    network, literal = pair(task, variant, dtype)
    y = torch.rand(2, network.config.channels, 32, 64, dtype=dtype)
    with torch.no_grad():
        ours, theirs = network(y), literal(y)
    assert len(ours) == len(theirs) == 7
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", ["derain", "cs"])
def test_its_gradients_agree(task, variant):
    network, literal = pair(task, variant, torch.float64)
    y = torch.rand(1, network.config.channels, 32, 32, dtype=torch.float64)
    for each in (network, literal):
        sum(image.square().mean() for image in each(y)).backward()
    ours, theirs = (
        dict(each.named_parameters(remove_duplicate=False)) for each in (network, literal)
    )
    compared = 0
    for official, name in official_keys(network.config):
        a, b = ours[name].grad, theirs[official].grad
        assert (a is None) == (b is None), official
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)
            compared += 1
    assert compared > 100
