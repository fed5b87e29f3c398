"""Backends compute what the network computes: against float64, for every structure and size."""

import copy

import pytest
import torch

from dgunet.backends import BACKENDS, backend_version, on_backend
from dgunet.backends.ncnn import NcnnChain
from dgunet.network import DGUNet, preset

TOLERANCE = 2e-5
NETWORKS = {
    "derain": ("derain", "DGUNet", {"stages": 4}),
    "paper": ("deblur", "DGUNet+", {"architecture": "paper"}),
    "cs": ("cs", "DGUNet", {"ratio": 10}),
    "cs-block": ("cs", "DGUNet", {"ratio": 4, "proximal_domain": "block"}),
}
SIZES = [(2, 64, 40), (1, 37, 70), (1, 8, 9), (1, 1, 1)]


def network_of(task, variant, settings):
    torch.manual_seed(0)
    widths = {"n_feat": 16, "scale": 4, "last_width": 4, "stages": 3}
    return DGUNet(preset(task, variant, **widths | settings)).eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("backend", [each for each in BACKENDS if each != "compile"])
def test_every_stage_agrees_with_float64(backend, name):
    network = network_of(*NETWORKS[name])
    truth, made = copy.deepcopy(network).double(), on_backend(network, backend)
    with torch.inference_mode():
        for batch, height, width in SIZES:
            image = torch.rand(batch, network.config.channels, height, width)
            for expected, output in zip(truth(image.double()), made(image), strict=True):
                assert output.shape == image.shape
                assert float((output - expected).abs().max()) <= TOLERANCE


def test_the_compiled_network_agrees_with_float64():
    network = network_of("derain", "DGUNet", {})
    truth, made = copy.deepcopy(network).double(), on_backend(network, "compile")
    image = torch.rand(1, 3, 24, 32)
    with torch.inference_mode():
        assert float((made(image)[-1] - truth(image.double())[-1]).abs().max()) <= TOLERANCE


def test_the_network_itself_is_not_changed():
    network = network_of("derain", "DGUNet", {})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image = torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        expected = network(image)[-1]
        for backend in ("channels-last", "ncnn", "openvino"):
            on_backend(network, backend)(image)
        assert torch.equal(network(image)[-1], expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_shared_stage_is_converted_once_and_measurements_are_restored():
    network = network_of("cs", "DGUNet", {"ratio": 10, "stages": 5})
    made = on_backend(network, "openvino")
    assert len(made.middle) == 1
    image = torch.rand(1, 1, 40, 33)
    with torch.inference_mode():
        expected = network.from_measurements(network.measure(image), (40, 33))[-1]
        output = made.from_measurements(made.measure(image), (40, 33))[-1]
    assert float((output - expected).abs().max()) <= TOLERANCE


def test_ncnn_computes_the_wide_convolutions():
    """Else the comparison with float64 would compare torch with itself."""
    made = on_backend(network_of("derain", "DGUNet", {}), "ncnn")
    stage = made.middle[0].run
    assert sum(isinstance(each, NcnnChain) for each in stage.modules()) > 20


def test_versions_name_what_computed():
    assert backend_version("eager") == "eager"
    assert backend_version("channels-last") == f"channels-last-{torch.__version__.split('+')[0]}"
    assert backend_version("openvino").startswith("openvino-20")
