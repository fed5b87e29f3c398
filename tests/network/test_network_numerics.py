"""Precision and extreme inputs: bfloat16, float16, constant and thin images, singular systems."""

from __future__ import annotations

import pytest
import torch
from network_tiny import FAMILY, tiny

from dgunet.network.proximal import SubspaceProjection
from dgunet.system.errors import ConfigError


@pytest.mark.parametrize(("task", "variant", "architecture"), FAMILY)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_stay_finite(
    task: str, variant: str, architecture: str, value: float
) -> None:
    network = tiny(task, variant, architecture=architecture, n_feat=16)
    outputs = network(torch.full((1, network.config.channels, 32, 32), value))
    assert all(o.isfinite().all() for o in outputs)
    torch.stack([o.square().mean() for o in outputs]).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("shape", [(8, 8), (8, 4096), (4096, 8), (1, 1)])
@pytest.mark.parametrize("architecture", ["released", "paper"])
def test_extreme_sizes_stay_finite(shape: tuple[int, int], architecture: str) -> None:
    network = tiny(architecture=architecture)
    with torch.no_grad():
        assert network(torch.rand(1, 3, *shape))[-1].isfinite().all()


@pytest.mark.parametrize("unrolled", [False, True])
def test_a_singular_subspace_can_be_projected(unrolled: bool) -> None:
    """Equal rows of S: rank one. Zero rows: rank none."""
    module = SubspaceProjection(4)
    module.unrolled = unrolled
    features = torch.rand(2, 4, 8, 8)
    for bias in (1.0, 0.0):
        with torch.no_grad():
            module.subspace.weight.zero_()
            module.subspace.bias.fill_(bias)
            projected = module.project(features, features)
        mean = features.mean((2, 3), keepdim=True).expand_as(features)
        expected = mean if bias else torch.zeros_like(features)
        torch.testing.assert_close(projected, expected, rtol=0, atol=2e-2)


def test_the_projection_is_orthogonal_and_both_solvers_agree() -> None:
    torch.manual_seed(0)
    module = SubspaceProjection(4).double()
    x, b = torch.rand(2, 1, 4, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        once = module.project(x, b)
        s = module.subspace(torch.cat([x, b], 1)).flatten(2)[0]
        q = torch.linalg.qr((s / s.abs().sum(1, keepdim=True)).mT).Q
        expected = (q @ (q.mT @ b.flatten(2)[0].mT)).mT.reshape(1, 4, 16, 16)
        torch.testing.assert_close(once, expected, rtol=0, atol=1e-8)
        module.unrolled = True
        torch.testing.assert_close(module.project(x, b), once, rtol=0, atol=1e-9)


def test_bfloat16_autocast_projects_in_float32() -> None:
    torch.manual_seed(0)
    network = tiny("derain", "DGUNet+")
    seen = []
    handles = [
        m.subspace.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
        for m in network.modules()
        if isinstance(m, SubspaceProjection)
    ]
    y = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        reference = network(y)[-1]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            lowered = network(y)[-1]
    for handle in handles:
        handle.remove()
    assert seen and set(seen) == {torch.float32}
    assert (lowered.float() - reference).abs().max() < 0.1
    assert not torch.equal(lowered.float(), reference)


def test_float16_is_refused_with_the_reason() -> None:
    network = tiny()
    with pytest.raises(ConfigError, match="Gram matrix"):
        network.half()(torch.rand(1, 3, 16, 16).half())
    with (
        torch.autocast("cpu", dtype=torch.float16),
        pytest.raises(ConfigError, match="bfloat16 autocast"),
    ):
        tiny()(torch.rand(1, 3, 16, 16))
