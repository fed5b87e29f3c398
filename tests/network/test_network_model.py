"""The network: shapes, padding, shared weights, settings and measurements."""

from __future__ import annotations

import copy
import functools
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from network_tiny import FAMILY, tiny
from torch.nn import functional as F

from dgunet.network import DGUNet, preset
from dgunet.network.gradient import FlexibleGradientDescent
from dgunet.network.operators import BlockSampling, LinearOperator
from dgunet.system.errors import ConfigError

SIDES = st.integers(1, 41)


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("task", "variant", "architecture"), FAMILY)
@settings(max_examples=4, deadline=None)
@given(height=SIDES, width=SIDES)
def test_any_size_gives_one_image_per_stage(
    task: str, variant: str, architecture: str, height: int, width: int
) -> None:
    network = tiny(task, variant, architecture=architecture)
    y = image(2, network.config.channels, height, width)
    with torch.no_grad():
        outputs = network(y)
    assert [o.shape for o in outputs] == [y.shape] * 3
    assert all(o.isfinite().all() for o in outputs)


@settings(max_examples=8, deadline=None)
@given(height=st.integers(9, 30), width=st.integers(9, 30))
def test_internal_padding_equals_reflection(height: int, width: int) -> None:
    network = tiny()
    y = image(1, 3, height, width)
    padded = F.pad(y, (0, -width % 8, 0, -height % 8), mode="reflect")
    with torch.no_grad():
        inside, outside = network(y)[-1], network(padded)[-1][..., :height, :width]
    assert torch.equal(inside, outside)


@pytest.mark.parametrize(
    ("side", "rows"), [(5, [0, 1, 2, 3, 4, 3, 2, 1]), (3, [0, 1, 2, 1, 0, 0, 0, 0])]
)
def test_images_shorter_than_the_padding_repeat_their_border(side: int, rows: list[int]) -> None:
    y = image(1, 3, side, 16)
    assert torch.equal(tiny()._pad(y), y[:, :, rows])


def test_compressive_sensing_pads_with_zeros() -> None:
    network = tiny("cs")
    y = image(1, 1, 40, 33)
    padded = F.pad(y, (0, 31, 0, 24))
    with torch.no_grad():
        assert torch.equal(network(y)[-1], network(padded)[-1][..., :40, :33])


@pytest.mark.parametrize(("task", "shape"), [("derain", (16, 24)), ("cs", (32, 64))])
def test_an_image_of_a_divisible_size_is_not_padded(task: str, shape: tuple[int, int]) -> None:
    network = tiny(task)
    y = image(1, network.config.channels, *shape)
    assert torch.equal(network._pad(y), y)


@pytest.mark.parametrize(("task", "variant", "architecture"), FAMILY)
@settings(max_examples=3, deadline=None)
@given(batch=st.integers(2, 3), height=st.integers(1, 24), width=st.integers(1, 24))
def test_images_of_a_batch_are_independent(
    task: str, variant: str, architecture: str, batch: int, height: int, width: int
) -> None:
    network = tiny(task, variant, architecture=architecture).double()
    y = image(batch, network.config.channels, height, width).double()
    with torch.no_grad():
        together = network(y)[-1]
        alone = torch.cat([network(one)[-1] for one in y.split(1)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-10)


@settings(max_examples=4, deadline=None)
@given(kind=st.sampled_from(FAMILY), height=SIDES, width=SIDES)
def test_the_same_seed_gives_the_same_bits(
    kind: tuple[str, str, str], height: int, width: int
) -> None:
    task, variant, architecture = kind
    one, other = (tiny(task, variant, architecture=architecture) for _ in range(2))
    y = image(1, one.config.channels, height, width)
    with torch.no_grad():
        for a, b, c in zip(one(y), other(y), one(y), strict=True):
            assert torch.equal(a, b) and torch.equal(a, c)


def test_prelu_slopes_are_shared_within_a_network_and_not_between_networks() -> None:
    one, other = tiny(), tiny()
    slope = one.first.gradient.f_a.activation.weight
    assert slope is one.last.gradient.f_at.activation.weight
    assert slope is not other.first.gradient.f_a.activation.weight
    copied = copy.deepcopy(one)
    assert (
        copied.first.gradient.f_a.activation.weight is copied.last.gradient.f_at.activation.weight
    )
    paper = tiny(architecture="paper", gradient_activation="prelu")
    assert paper.first.gradient.f_a.activation is not paper.first.gradient.f_at.activation


@functools.cache
def names(**changes: object) -> frozenset[str]:
    with torch.device("meta"):
        config = preset("derain", **({"n_feat": 8, "scale": 4, "variant": "DGUNet+"} | changes))
        return frozenset(name for name, _ in DGUNet(config).named_parameters())


def parents(removed: frozenset[str]) -> set[str]:
    return {".".join(name.split(".")[:3]) for name in removed}


@settings(max_examples=6, deadline=None)
@given(stages=st.integers(2, 9))
def test_the_number_of_stages_changes_only_the_middle_of_dgunet_plus(stages: int) -> None:
    seven, other = names(), names(stages=stages)
    kept = {n for n in seven if not n.startswith("middle")}
    assert {n for n in other if not n.startswith("middle")} == kept
    assert len({n.split(".")[1] for n in other if n.startswith("middle")}) == stages - 2


@pytest.mark.parametrize("stages", [3, 5, 9])
def test_the_number_of_stages_does_not_change_the_parameters_of_dgunet(stages: int) -> None:
    assert names(variant="DGUNet", stages=stages) == names(variant="DGUNet")
    y = image(1, 3, 16, 16)
    assert len(tiny(stages=stages)(y)) == stages


@pytest.mark.parametrize("scales", [1, 2])
def test_fewer_fusion_scales_keep_the_finest(scales: int) -> None:
    removed = names() - names(fusion_scales=scales)
    assert removed and names(fusion_scales=scales) < names()
    assert {n.split("fusions.")[1][0] for n in removed} == {str(i) for i in range(scales, 3)}


def test_the_fusion_setting_changes_only_the_fusions() -> None:
    assert names(fusion="addition") < names()
    changed = names() - names(fusion="addition")
    assert {n.split(".")[-2] for n in changed} == {"alpha", "beta"}
    assert names(fusion="none") == {n for n in names() if ".fusions." not in n}


def test_without_the_gradient_step_v_is_the_previous_image() -> None:
    everything = names()
    assert everything - names(gradient=False) == {n for n in everything if ".gradient." in n}
    y = image(1, 3, 16, 16)
    with torch.no_grad():
        unfolded = tiny(gradient=False).unfold(y)
    assert torch.equal(unfolded[0].v, y)
    assert all(torch.equal(b.v, a.x) for a, b in pairwise(unfolded))


def test_the_injection_setting_changes_only_the_injections() -> None:
    other = names(injection="concatenate")
    assert parents(names() ^ other) == {f"middle.{i}.inject" for i in range(5)}


@pytest.mark.parametrize(
    "change",
    [
        {"gradient_activation": "relu"},
        {"downsample": "max-pool"},
        {"upsample": "bilinear"},
        {"encoder_norm": "none"},
        {"residual_block": "plain"},
        {"decoder_merge": "add"},
        {"sam_attention": True},
        {"injection": "concatenate"},
        {"last_injection": "projection"},
        {"last_stage": "full"},
        {"last_skip": "gradient-step"},
        {"fusion": "addition"},
        {"fusion_kernel": 1},
        {"fusion_activation": "none"},
        {"fusion_gain": "linear"},
    ],
)
def test_every_architecture_field_changes_the_output(change: dict[str, object]) -> None:
    """Each field is changed alone; parameters that both networks have are equal."""
    base, other = tiny(), tiny(**change)
    shapes = {name: p.shape for name, p in other.named_parameters()}
    shared = {n: p for n, p in base.named_parameters() if shapes.get(n) == p.shape}
    other.load_state_dict(shared, strict=False)
    y = image(1, 3, 16, 24)
    with torch.no_grad():
        assert not torch.allclose(base(y)[-1], other(y)[-1], atol=1e-7)


@settings(max_examples=10, deadline=None)
@given(
    measurements=st.integers(1, 20),
    block=st.sampled_from([2, 4, 8]),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    seed=st.integers(0, 100),
)
def test_block_sampling_is_adjoint(
    measurements: int, block: int, rows: int, columns: int, seed: int
) -> None:
    torch.manual_seed(seed)
    operator = BlockSampling(measurements, block).double()
    x = torch.randn(2, 1, rows * block, columns * block, dtype=torch.float64)
    y = torch.randn(2, measurements, rows, columns, dtype=torch.float64)
    with torch.no_grad():
        left, right = (operator(x) * y).sum(), (x * operator.adjoint(y)).sum()
    assert abs(left - right) <= 1e-12 * (x.norm() * y.norm() * operator.phi.norm())


class Blur(LinearOperator):
    """Another known operator: a fixed 3 x 3 kernel, its adjoint the transposed convolution."""

    kernel = torch.arange(9.0, dtype=torch.float64).reshape(1, 1, 3, 3) / 36

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.kernel, stride=2, padding=1)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return F.conv_transpose2d(y, self.kernel, stride=2, padding=1, output_padding=1)


@pytest.mark.parametrize("operator", [BlockSampling(5, 4).double(), Blur()])
def test_equation_6_is_gradient_descent_on_the_data_term(operator: LinearOperator) -> None:
    """v = x - rho * gradient of |A x - y|^2 / 2, the gradient taken by autograd."""
    step = FlexibleGradientDescent(None).double()
    x = image(2, 1, 8, 12).double().requires_grad_()
    with torch.no_grad():
        y = operator(image(2, 1, 8, 12, seed=1).double())
    data_term = (operator(x) - y).square().sum() / 2
    (gradient,) = torch.autograd.grad(data_term, x)
    with torch.no_grad():
        torch.testing.assert_close(step(x, y, operator), x - 0.5 * gradient, rtol=0, atol=1e-12)


def test_blocks_are_row_major() -> None:
    operator = BlockSampling(3, 2)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    second = torch.tensor([2.0, 3.0, 6.0, 7.0])
    with torch.no_grad():
        torch.testing.assert_close(operator(x)[0, :, 0, 1], operator.phi @ second)


@pytest.mark.parametrize("domain", ["image", "block"])
def test_measurements_give_the_same_output_as_the_image(domain: str) -> None:
    network = tiny("cs", proximal_domain=domain)
    x = image(2, 1, 64, 32)
    with torch.no_grad():
        from_image = network(x)
        from_measurements = network.from_measurements(network.measure(x), size=(50, 32))
    for a, b in zip(from_image, from_measurements, strict=True):
        assert torch.equal(a[..., :50, :], b)


def test_blocks_are_independent_in_the_block_domain() -> None:
    network = tiny("cs", proximal_domain="block")
    x = image(1, 1, 64, 64)
    with torch.no_grad():
        corner = network(x[..., 32:, :32])[-1]
        torch.testing.assert_close(network(x)[-1][..., 32:, :32], corner, rtol=0, atol=1e-6)


def test_measuring_pads_with_zeros() -> None:
    network = tiny("cs")
    x = image(1, 1, 40, 33)
    with torch.no_grad():
        assert torch.equal(network.measure(x), network.operator(F.pad(x, (0, 31, 0, 24))))


def test_invalid_inputs_are_reported() -> None:
    with pytest.raises(ConfigError, match="learned operator"):
        tiny().measure(image(1, 3, 8, 8))
    with pytest.raises(ConfigError, match=r"shape \(1, 1, 8, 8\)"):
        tiny()(image(1, 1, 8, 8))
    with pytest.raises(ConfigError, match="takes images only"):
        tiny().from_measurements(image(1, 103, 1, 1))
    with pytest.raises(ConfigError, match="103"):
        tiny("cs").from_measurements(image(1, 3, 32, 32))
