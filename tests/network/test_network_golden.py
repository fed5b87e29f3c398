"""Parity with the released code: committed golden values, and the whole reference where present."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from network_golden import (
    COMMITTED,
    VARIANTS,
    alias_groups,
    committed_case,
    golden_input,
    golden_network,
    golden_state,
    sampled,
)
from torch import Tensor
from torch.nn import functional as F

from dgunet.network import DGUNet
from dgunet.network.official import export_official, import_official, official_keys

WIDE = ("deblur", "denoise")
CHEAP = ("derain_dgunet", "derain_dgunet_plus", "cs_dgunet_r10", "cs_dgunet_plus_deblock_r10")


def case_of(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


@pytest.mark.parametrize(
    "name", [n if n in CHEAP else pytest.param(n, marks=pytest.mark.slow) for n in VARIANTS]
)
def test_committed_golden_values(name: str) -> None:
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
def test_reference_golden_vectors(name: str, reference: Path, tmp_path: Path) -> None:
    """Through the import of a file in the authors' format, so that the import is proved too."""
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


def test_committed_values_are_the_reference(reference: Path) -> None:
    for name, golden in json.loads(COMMITTED.read_text())["variants"].items():
        file = reference / "golden" / f"{name}__{case_of(tuple(golden['shape']))}.npz"
        outputs = np.load(file)
        for k, stage in enumerate(golden["stages"]):
            expected = sampled(outputs[f"out64_{6 - k}"])
            np.testing.assert_allclose(stage["values"], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", VARIANTS)
def test_manifest_key_for_key(name: str, reference: Path) -> None:
    manifest = json.loads((reference / "manifests" / f"{name}.json").read_text())
    with torch.device("meta"):
        network = DGUNet(VARIANTS[name])
    state = network.state_dict()
    exported = [[key, list(state[ours].shape)] for key, ours in official_keys(network.config)]
    assert exported == [[key, shape] for key, shape, _ in manifest["state_dict"]]
    assert sum(p.numel() for p in network.parameters()) == manifest["unique_parameters"]
    assert len(list(network.parameters())) == manifest["unique_tensors"]
    assert sorted(map(sorted, alias_groups(network))) == sorted(
        map(sorted, manifest["alias_groups"])
    )
    tensors = network.state_dict(keep_vars=True)
    frozen = {key for key, ours in official_keys(VARIANTS[name]) if not tensors[ours].requires_grad}
    assert frozen == set(manifest["unused_in_forward"])


def test_golden_weights_are_the_reference_weights(reference: Path) -> None:
    report = json.loads((reference / "golden" / "report.json").read_text())
    for name in CHEAP:
        digest = hashlib.sha256()
        for value in golden_state(VARIANTS[name]).values():
            digest.update(np.ascontiguousarray(value.numpy(), dtype="<f4").tobytes())
        assert digest.hexdigest() == report[name]["weights_sha256"]


def charbonnier(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2 + 1e-6).sqrt().mean()


def laplacian(z: Tensor) -> Tensor:
    taps = torch.tensor([0.05, 0.25, 0.4, 0.25, 0.05], dtype=z.dtype)
    kernel = torch.outer(taps, taps).expand(z.shape[1], 1, 5, 5)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(F.pad(image, (2,) * 4, mode="replicate"), kernel, groups=z.shape[1])

    even = torch.zeros_like(z)
    even[:, :, ::2, ::2] = 4 * blur(z)[:, :, ::2, ::2]
    return z - blur(even)


LOSSES = {
    "derain_deblur": lambda x, t: (
        charbonnier(x, t) + 0.05 * charbonnier(laplacian(x), laplacian(t))
    ),
    "denoise": lambda x, t: charbonnier(x.clamp(0, 1), t),
    "cs_mod1": lambda x, t: ((x.clamp(0, 1) - t) ** 2).mean(),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("derain_dgunet", "derain_deblur"),
        pytest.param("derain_dgunet_plus", "derain_deblur", marks=pytest.mark.slow),
        pytest.param("denoise_dgunet", "denoise", marks=pytest.mark.slow),
        ("cs_dgunet_r10", "cs_mod1"),
        pytest.param("cs_dgunet_deblock_r10", "cs_mod1", marks=pytest.mark.slow),
        pytest.param("cs_dgunet_plus_r10", "cs_mod1", marks=pytest.mark.slow),
    ],
)
def test_reference_training(name: str, kind: str, reference: Path) -> None:
    """Losses before four steps, every gradient at the first, and the parameters after three."""
    golden = json.loads((reference / "golden" / f"{name}__train_{kind}.json").read_text())
    network = golden_network(name).double().train()
    shape = tuple(golden["shape"])
    x = golden_input(f"{name}:train:x", shape).double()
    t = x if kind == "cs_mod1" else golden_input(f"{name}:train:t", shape).double()
    adam = golden["adam"]
    optimiser = torch.optim.Adam(
        [p for p in network.parameters() if p.requires_grad],
        lr=adam["lr"],
        betas=tuple(adam["betas"]),
        eps=adam["eps"],
        weight_decay=adam["weight_decay"],
    )
    state = network.state_dict(keep_vars=True)
    losses = []
    for step in range(4):
        optimiser.zero_grad()
        loss = torch.stack([LOSSES[kind](output, t) for output in network(x)]).sum()
        losses.append(loss.item())
        loss.backward()
        if step == 0:
            for theirs, ours in official_keys(network.config):
                expected = golden["grad_l2_by_key_step0"][theirs]
                gradient = state[ours].grad
                if expected is None:
                    assert gradient is None, theirs
                else:
                    assert gradient is not None, theirs
                    assert gradient.norm().item() == pytest.approx(expected, rel=1e-8, abs=1e-12)
        if step < 3:
            optimiser.step()
    np.testing.assert_allclose(losses, golden["loss_before_each_step"], rtol=1e-9)
    total = sum(p.detach().square().sum().item() for p in network.parameters()) ** 0.5
    assert total == pytest.approx(golden["param_l2_after_steps"], rel=1e-9)
