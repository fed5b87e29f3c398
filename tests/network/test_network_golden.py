"""Parity with the released code: committed golden values, and the full reference if present."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_golden import (
    ADAM,
    COMMITTED,
    MANIFESTS,
    SHORT,
    TRAINED,
    TRAINING,
    VARIANTS,
    alias_groups,
    committed_case,
    golden_input,
    golden_network,
    golden_state,
    manifest,
    sampled,
    summary,
    training,
)
from torch import Tensor

from dgunet.network import DGUNet
from dgunet.network.official import export_official, import_official, official_keys

WIDE = ("deblur", "denoise")
CHEAP = ("derain_dgunet", "derain_dgunet_plus", "cs_dgunet_r10", "cs_dgunet_plus_deblock_r10")


def case_of(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


@pytest.mark.parametrize(
    "name", [n if n in CHEAP else pytest.param(n, marks=pytest.mark.slow) for n in VARIANTS]
)
def test_outputs_agree_with_the_committed_golden_values(name: str) -> None:
    golden = json.loads(COMMITTED.read_text())["variants"][name]
    shape = committed_case(name)
    assert golden["shape"] == list(shape)
    network = golden_network(name)
    image = golden_input(f"{name}:{case_of(shape)}", shape)
    with torch.no_grad():
        single, double = network(image), network.double()(image.double())
    assert len(single) == len(double) == len(golden["stages"]) == 7
    for stage, f32, f64 in zip(golden["stages"], single, double, strict=True):
        np.testing.assert_allclose(sampled(f64.numpy()), stage["values"], rtol=0, atol=1e-10)
        np.testing.assert_allclose(sampled(f32.numpy()), stage["values"], rtol=0, atol=2e-5)
        assert float(f64.mean()) == pytest.approx(stage["mean"], abs=1e-10)
        assert float(f64.std(correction=0)) == pytest.approx(stage["std"], abs=1e-10)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n.startswith(WIDE) else n for n in VARIANTS]
)
def test_outputs_agree_with_the_reference_golden_vectors(
    name: str, reference: Path, tmp_path: Path
) -> None:
    """The weights are imported from a file in the official format, which tests the import too."""
    path = tmp_path / "official.pth"
    config = VARIANTS[name]
    export_official(golden_network(name), path)
    task = None if config.task == "cs" else config.task
    network, _ = import_official(path, task=task, proximal_domain=config.proximal_domain)
    assert network.config == config
    files = sorted(reference.joinpath("golden").glob(f"{name}__[0-9]*x[0-9]*x[0-9]*.npz"))
    assert files
    for file in files:
        golden = np.load(file)
        image = torch.from_numpy(golden["x"])
        tag = file.stem.replace("__", ":")
        assert torch.equal(image, golden_input(tag, tuple(image.shape)))
        with torch.no_grad():
            single, double = network.float()(image), network.double()(image.double())
        for i in range(7):
            # The released code returns the last stage first.
            np.testing.assert_allclose(single[6 - i], golden[f"out_{i}"], rtol=0, atol=2e-5)
            np.testing.assert_allclose(double[6 - i], golden[f"out64_{i}"], rtol=0, atol=1e-10)


def test_committed_golden_values_agree_with_the_reference(reference: Path) -> None:
    for name, golden in json.loads(COMMITTED.read_text())["variants"].items():
        file = reference / "golden" / f"{name}__{case_of(tuple(golden['shape']))}.npz"
        outputs = np.load(file)
        for k, stage in enumerate(golden["stages"]):
            expected = sampled(outputs[f"out64_{6 - k}"])
            np.testing.assert_allclose(stage["values"], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", VARIANTS)
def test_manifests_agree_with_the_committed_ones(name: str) -> None:
    """Parameter counts, and the export's keys, order, shapes, aliases and unused keys."""
    assert manifest(name) == json.loads(MANIFESTS.read_text())["variants"][name]


@pytest.mark.parametrize("name", VARIANTS)
def test_manifests_agree_with_the_reference_key_for_key(name: str, reference: Path) -> None:
    golden = json.loads((reference / "manifests" / f"{name}.json").read_text())
    with torch.device("meta"):
        network = DGUNet(VARIANTS[name])
    state = network.state_dict(keep_vars=True)
    keys = official_keys(network.config)
    exported = [[key, list(state[ours].shape)] for key, ours in keys]
    assert exported == [[key, shape] for key, shape, _ in golden["state_dict"]]
    unused = {key for key, ours in keys if not state[ours].requires_grad}
    assert unused == set(golden["unused_in_forward"])
    committed = json.loads(MANIFESTS.read_text())["variants"][name]
    entries = [[key, shape] for key, shape, _ in golden["state_dict"]]
    assert committed == summary((), entries, golden["alias_groups"], sorted(unused)) | {
        "parameters": golden["unique_parameters"],
        "tensors": golden["unique_tensors"],
    }


def test_golden_weights_are_the_reference_weights(reference: Path) -> None:
    report = json.loads((reference / "golden" / "report.json").read_text())
    for name in CHEAP:
        digest = hashlib.sha256()
        for value in golden_state(VARIANTS[name]).values():
            digest.update(np.ascontiguousarray(value.numpy(), dtype="<f4").tobytes())
        assert digest.hexdigest() == report[name]["weights_sha256"]


@pytest.mark.parametrize("name", SHORT)
def test_training_agrees_with_the_committed_values(name: str) -> None:
    """Losses, gradients and the weights after one step agree with the released code."""
    golden = json.loads(TRAINING.read_text())["variants"][name]
    same_training(training(name, SHORT[name], ADAM, 2), golden)


def same_training(ours: dict[str, Any], golden: dict[str, Any]) -> None:
    np.testing.assert_allclose(ours["losses"], golden["losses"], rtol=1e-9)
    assert ours["gradients"].keys() == golden["gradients"].keys()
    for key, expected in golden["gradients"].items():
        found = ours["gradients"][key]
        if expected is None:
            assert found is None, key
        else:
            assert found == pytest.approx(expected, rel=1e-8, abs=1e-12), key
    assert ours["norm"] == pytest.approx(golden["norm"], rel=1e-9)


@pytest.mark.parametrize(
    "name",
    [n if n in SHORT else pytest.param(n, marks=pytest.mark.slow) for n in TRAINED],
)
def test_training_agrees_with_the_reference(name: str, reference: Path) -> None:
    """Losses before four steps, gradients of the first, and parameters after three."""
    file = reference / "golden" / f"{name}__train_{TRAINED[name]}.json"
    golden = json.loads(file.read_text())
    expected = {
        "losses": golden["loss_before_each_step"],
        "gradients": golden["grad_l2_by_key_step0"],
        "norm": golden["param_l2_after_steps"],
    }
    same_training(training(name, tuple(golden["shape"]), golden["adam"], 4), expected)


@pytest.mark.parametrize(
    "name",
    [
        "derain_dgunet",
        pytest.param("derain_dgunet_plus", marks=pytest.mark.slow),
        "cs_dgunet_r10",
        "cs_dgunet_deblock_r10",
        pytest.param("cs_dgunet_plus_r10", marks=pytest.mark.slow),
        pytest.param("cs_dgunet_plus_deblock_r10", marks=pytest.mark.slow),
    ],
)
def test_module_outputs_agree_with_the_reference_traces(name: str, reference: Path) -> None:
    """Outputs of every convolution and normalisation, call by call, in float64."""
    (file,) = reference.joinpath("golden").glob(f"{name}__*__trace.json")
    golden = json.loads(file.read_text())
    network = golden_network(name).double()
    modules = dict(network.named_modules())
    shared = {key for group in alias_groups(network) for key in group}
    found: dict[tuple[str, int], Tensor] = {}

    def record(key: str) -> Any:
        calls = itertools.count()
        # A copy: activations work in place.
        return lambda _, __, output: found.update({(key, next(calls)): output.clone()})

    for theirs, ours in official_keys(network.config):
        if theirs.endswith(".weight") and theirs not in shared:
            module = modules[ours.removesuffix(".weight")]
            module.register_forward_hook(record(theirs.removesuffix(".weight")))
    case = golden["case"]
    with torch.no_grad():
        network(golden_input(f"{name}:{case}", tuple(map(int, case.split("x")))).double())
    rows = {(module, call): outputs for module, _, call, outputs in golden["rows"]}
    assert found and found.keys() <= rows.keys()
    for key, output in found.items():
        ((shape, mean, std, norm, first),) = rows[key]
        assert list(output.shape) == shape, key
        flat = output.flatten()
        values = [flat.mean().item(), flat.std().item(), flat.norm().item(), *flat[:4].tolist()]
        np.testing.assert_allclose(values, [mean, std, norm, *first], rtol=1e-8, atol=1e-10)
