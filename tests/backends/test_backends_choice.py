"""Refusals of backends, and the choice of the fastest by a probe that is remembered."""

import json

import pytest
import torch

from dgunet.backends import choose_backend, conversion, on_backend, probing
from dgunet.network import DGUNet, preset
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.terms import BACKENDS


@pytest.fixture
def network():
    return DGUNet(preset("derain", n_feat=8, scale=4, last_width=4, stages=3)).eval()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DGUNET_CACHE", str(tmp_path))
    return tmp_path / "backends"


@pytest.fixture
def stand_in(monkeypatch):
    """Replace all backends but eager by one, which converts with ``convert``."""

    def replaced(convert):
        monkeypatch.setattr(probing, "BACKENDS", ("eager", "ncnn"))
        monkeypatch.setitem(conversion._CONVERT, "ncnn", (convert, ("torch",)))

    return replaced


def test_an_unknown_backend_is_refused_with_the_known_ones(network):
    with pytest.raises(ConfigError, match="backend 'tensorrt' is unknown") as error:
        on_backend(network, "tensorrt")
    assert all(name in error.value.hint for name in BACKENDS)


def test_a_missing_package_is_named_with_its_extra(network, monkeypatch):
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs the package openvino") as error:
        on_backend(network, "openvino")
    assert "dgunet[openvino]" in error.value.hint


def test_a_network_in_float64_is_refused(network):
    with pytest.raises(ConfigError, match="float64 on cpu"):
        on_backend(network.double(), "openvino")


def test_a_failed_conversion_names_the_backend(network, stand_in):
    def convert(stage):
        raise ValueError("unsupported operation")

    stand_in(convert)
    with pytest.raises(DgunetError, match=r"backend ncnn cannot convert .*unsupported") as error:
        on_backend(network, "ncnn")
    assert "--backend eager" in error.value.hint


def test_the_real_backends_are_probed_once(network, cache):
    lines = []
    chosen = choose_backend(network, lines.append)
    assert chosen in BACKENDS
    assert {"openvino", "onnxruntime", "ncnn"} <= {line.partition(":")[0] for line in lines}
    (note,) = cache.iterdir()
    assert json.loads(note.read_text())["backend"] == chosen
    again = []
    assert choose_backend(network, again.append) == chosen
    assert len(again) == 1
    assert str(note) in again[0]


def fails(*tensors):
    raise RuntimeError("an illegal instruction")


@pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (lambda stage: fails, "an illegal instruction"),
        (lambda stage: lambda *given: [each + 1e-3 for each in stage(*given)], "differs by"),
        (lambda stage: lambda *given: [each * torch.nan for each in stage(*given)], "nan"),
    ],
    ids=["fails", "differs", "nan"],
)
def test_a_backend_that_fails_or_differs_is_left_out(network, cache, stand_in, convert, reason):
    stand_in(convert)
    lines = []
    assert choose_backend(network, lines.append) == "eager"
    assert any("ncnn: left out" in line and reason in line for line in lines)


@pytest.mark.parametrize(("gain", "chosen"), [(1.05, "eager"), (1.5, "ncnn")])
def test_a_small_gain_is_not_worth_a_conversion(
    network, cache, stand_in, monkeypatch, gain, chosen
):
    stand_in(lambda stage: stage)
    seconds = {True: gain, False: 1.0}
    monkeypatch.setattr(probing, "_seconds", lambda each, image: seconds[each is network])
    assert choose_backend(network) == chosen


def test_a_damaged_note_is_probed_again(network, cache, stand_in):
    stand_in(lambda stage: fails)
    choose_backend(network)
    (note,) = cache.iterdir()
    for content in ("{", "[]", '{"backend": "tensorrt"}', '{"backend": ["eager"]}'):
        note.write_text(content)
        lines = []
        assert choose_backend(network, lines.append) == "eager"
        assert "probing" in lines[0]


def test_a_probe_without_a_cache_is_not_remembered(network, tmp_path, stand_in, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DGUNET_CACHE", str(tmp_path / "file"))
    stand_in(lambda stage: fails)
    lines = []
    assert choose_backend(network, lines.append) == "eager"
    assert lines[-1] == "backend eager"
