"""Losses, gradients and Adam steps match golden vectors of the released code in float64."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from one_batch import OneBatch

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network.official import official_keys
from dgunet.training import stage_losses, train
from dgunet.training.loss import charbonnier, edge, l2, laplacian
from tests.network.network_golden import VARIANTS, golden_input, golden_network

KINDS = {
    "derain_deblur": "charbonnier-edge",
    "denoise": "charbonnier-clamped",
    "cs_mod1": "l2-clamped",
}

RTOL = 1e-8
"""The released code rounds the blur kernel to float32 even in float64 runs; ours does not."""

CASES = [
    "derain_dgunet__train_derain_deblur",
    "derain_dgunet_plus__train_derain_deblur",
    pytest.param("denoise_dgunet__train_denoise", marks=pytest.mark.slow),
    "cs_dgunet_r10__train_cs_mod1",
    "cs_dgunet_plus_r10__train_cs_mod1",
    "cs_dgunet_deblock_r10__train_cs_mod1",
]


@pytest.fixture(scope="module")
def golden():
    """The folder of the golden vectors."""
    named = os.environ.get("DGUNET_BENCHMARKS")
    folder = Path(named or "/nowhere").parent / "reference" / "golden"
    if not folder.is_dir():
        pytest.skip("needs ../reference/golden next to DGUNET_BENCHMARKS")
    return folder


def setting(golden, case):
    """Return (golden values, network, input, target) in float64."""
    values = json.loads((golden / f"{case}.json").read_text())
    name, shape = values["variant"], tuple(values["shape"])
    x = golden_input(f"{name}:train:x", shape).double()
    t = x if values["t"] == "x itself" else golden_input(f"{name}:train:t", shape).double()
    return values, golden_network(name).double().train(), x, t


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_match_the_released_code(golden, case):
    values, network, x, t = setting(golden, case)
    kind = KINDS[values["loss"]]
    outputs = network(x)
    losses = stage_losses(outputs, t, kind)
    assert losses.sum().item() == pytest.approx(values["loss_before_each_step"][0], rel=RTOL)
    for key, term in (("charbonnier", charbonnier), ("edge", edge), ("mse", l2)):
        if (expected := values[f"{key}_per_stage"]) is not None:
            ours = [float(term(out.detach(), t)) for out in reversed(outputs)]
            np.testing.assert_allclose(ours, expected, rtol=RTOL)
    losses.sum().backward()
    state = network.state_dict(keep_vars=True)
    for theirs, ours in official_keys(VARIANTS[values["variant"]]):
        expected, gradient = values["grad_l2_by_key_step0"][theirs], state[ours].grad
        if expected is None:
            assert gradient is None, theirs
        else:
            assert float(gradient.norm()) == pytest.approx(expected, rel=1e-6, abs=1e-12), theirs


@pytest.mark.parametrize("case", CASES)
def test_three_adam_steps_match_the_released_code(golden, case):
    values, network, x, t = setting(golden, case)
    adam, kind = values["adam"], KINDS[values["loss"]]
    settings = TrainingSettings(
        iterations=3,
        batch=len(x),
        patch=32,
        learning_rate=adam["lr"],
        learning_rate_min=adam["lr"],
        warmup=0,
        loss=kind,
        weight_decay=adam["weight_decay"],
    )
    result = train(network, OneBatch(x, t), settings, RuntimeSettings(device="cpu", threads=0))
    with torch.no_grad():
        after = float(stage_losses(network(x), t, kind).sum())
    losses = [*(report.loss for report in result.reports), after]
    np.testing.assert_allclose(losses, values["loss_before_each_step"], rtol=1e-7)
    norm = torch.stack([p.detach().norm() for p in network.parameters()]).norm()
    assert float(norm) == pytest.approx(values["param_l2_after_steps"], rel=1e-9)


def test_the_laplacian_of_the_edge_loss_matches_the_released_code(golden):
    arrays, facts = np.load(golden / "losses.npz"), json.loads((golden / "losses.json").read_text())
    x, y = (torch.from_numpy(arrays[name]).double() for name in "xy")
    np.testing.assert_allclose(laplacian(x), arrays["laplacian_x"], atol=1e-6)
    assert float(charbonnier(x, y)) == pytest.approx(facts["charbonnier_f64"], rel=1e-12)
    assert float(edge(x, y)) == pytest.approx(facts["edge_f64"], rel=RTOL)
    assert float(charbonnier(x, x)) == pytest.approx(1e-3, rel=1e-12)
