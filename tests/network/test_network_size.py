"""Parameters and operations computed from the structure are those of the built network."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from dgunet.network import DGUNet, DGUNetConfig, preset
from dgunet.network.describe import Description, describe_network, paper_networks
from dgunet.terms import ABLATION_TASK, ABLATION_VARIANT, ABLATIONS


def counted(config: DGUNetConfig, size: tuple[int, int]) -> Description:
    """The description counted by torch while the network runs on tensors without data."""
    with FakeTensorMode(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = DGUNet(config).eval()
        network(torch.empty(1, config.channels, *size))
    counts = counter.get_flop_counts()["Global"]
    convolution = sum(n for op, n in counts.items() if "convolution" in str(op))
    parameters = list(network.parameters())
    return Description(
        config,
        parameters=sum(p.numel() for p in parameters),
        dormant=sum(p.numel() for p in parameters if not p.requires_grad),
        convolution_flops=convolution,
        matrix_flops=sum(counts.values()) - convolution,
        size=size,
    )


@pytest.mark.parametrize("architecture", ["released", "paper"])
def test_the_numbers_of_the_papers_networks_are_those_that_torch_counts(architecture: str) -> None:
    for config in paper_networks(architecture=architecture):
        assert describe_network(config) == counted(config, (256, 256))


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_numbers_of_an_ablation_are_those_that_torch_counts(name: str) -> None:
    config = preset(ABLATION_TASK, ABLATION_VARIANT, **ABLATIONS[name].changes)
    assert describe_network(config, (120, 200)) == counted(config, (120, 200))


CHOICES = {
    "n_feat": st.sampled_from([4, 8, 12]),
    "scale": st.sampled_from([2, 4, 6]),
    "last_width": st.integers(1, 9),
    "gradient_width": st.integers(1, 9),
    "gradient_activation": st.sampled_from(["prelu", "relu"]),
    "stages": st.integers(2, 5),
    "gradient": st.booleans(),
    "downsample": st.sampled_from(["strided-convolution", "max-pool"]),
    "upsample": st.sampled_from(["transposed-convolution", "bilinear"]),
    "encoder_norm": st.sampled_from(["half-instance", "none"]),
    "residual_block": st.sampled_from(["leaky", "plain"]),
    "decoder_merge": st.sampled_from(["concatenate", "add"]),
    "sam_attention": st.booleans(),
    "injection": st.sampled_from(["projection", "concatenate"]),
    "last_injection": st.sampled_from(["projection", "concatenate"]),
    "last_stage": st.sampled_from(["reduced", "full"]),
    "last_skip": st.sampled_from(["initial-estimate", "gradient-step"]),
    "fusion": st.sampled_from(["spatial", "addition", "none"]),
    "fusion_scales": st.integers(1, 3),
    "fusion_kernel": st.sampled_from([1, 3]),
    "prelu_sharing": st.sampled_from(["all", "outer", "none"]),
    "dormant": st.booleans(),
    "proximal_domain": st.sampled_from(["image", "block"]),
}


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(CHOICES),
    st.sampled_from([("derain", None), ("cs", 10)]),
    st.sampled_from(["DGUNet", "DGUNet+"]),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
def test_the_numbers_of_any_network_and_size_are_those_that_torch_counts(
    changes: dict[str, object], task: tuple[str, int | None], variant: str, size: tuple[int, int]
) -> None:
    if task[0] != "cs":
        changes = changes | {"proximal_domain": "image"}
    config = preset(task[0], variant, ratio=task[1], **changes)
    assert describe_network(config, size) == counted(config, size)


def test_the_choices_above_are_all_of_a_structure() -> None:
    """A new field of the structure is in the test above, or here with the reason."""
    fixed = {"task", "shared", "ratio", "operator", "channels", "block"}  # by task and variant
    fixed |= {"fusion_activation", "fusion_gain"}  # they have neither parameters nor convolutions
    assert set(CHOICES) | fixed == set(DGUNetConfig.__dataclass_fields__)


def test_describing_needs_no_torch() -> None:
    code = (
        "import sys; from dgunet.network.describe import describe_network, paper_networks;"
        "describe_network(paper_networks()[0]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
