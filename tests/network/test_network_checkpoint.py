"""Project and official checkpoints: round trips, recognition and invalid files."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from network_tiny import FAMILY, tiny

from dgunet.network import DGUNet, load_network, preset, save_network
from dgunet.network.official import (
    PREFIX,
    export_official,
    import_official,
    official_state,
    read_official,
    recognise,
)
from dgunet.system.errors import CheckpointError, ConfigError
from dgunet.system.files import sha256_file

SEVEN = {"stages": 7}


def same(one: DGUNet, other: DGUNet) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(("task", "variant", "architecture"), FAMILY)
def test_save_and_load(task: str, variant: str, architecture: str, tmp_path: Path) -> None:
    network = tiny(task, variant, architecture=architecture)
    path = tmp_path / "network.safetensors"
    save_network(network, path, {"step": "7", "digest": "abc"})
    loaded, extra = load_network(path)
    assert loaded.config == network.config and same(loaded, network)
    assert extra == {"step": "7", "digest": "abc"}
    shared = {id(p) for p in loaded.state_dict(keep_vars=True).values()}
    assert len(shared) == len(list(network.parameters()))
    digest = sha256_file(path)
    save_network(loaded, path, {"digest": "abc", "step": "7"})
    assert sha256_file(path) == digest


def test_float64_checkpoints_stay_float64(tmp_path: Path) -> None:
    save_network(tiny().double(), tmp_path / "n.safetensors")
    loaded, _ = load_network(tmp_path / "n.safetensors")
    assert next(loaded.parameters()).dtype is torch.float64


def test_foreign_and_broken_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_network(tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="not a readable safetensors"):
        load_network(broken)
    import safetensors.torch

    foreign = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="not written by save_network"):
        load_network(foreign)
    network = tiny()
    header = {"format": "dgunet-network-1", "config": network.config.to_dict(), "extra": {}}
    tensors = {n: p.detach().clone() for n, p in network.named_parameters()}
    tensors["stray"] = tensors.pop("first.gradient.rho")
    tensors["last.tail.weight"] = torch.zeros(2)
    safetensors.torch.save_file(tensors, foreign, {"dgunet": json.dumps(header)})
    with pytest.raises(CheckpointError) as refused:
        load_network(foreign)
    for problem in ("missing first.gradient.rho", "unexpected stray", "misshapen last.tail.weight"):
        assert problem in str(refused.value)
    header["config"]["depth"] = 3
    safetensors.torch.save_file(tensors, foreign, {"dgunet": json.dumps(header)})
    with pytest.raises(ConfigError, match=r"foreign\.safetensors: .*depth"):
        load_network(foreign)
    for text in ("{", "[]", '{"format": "dgunet-network-1"}', json.dumps(header | {"extra": 1})):
        safetensors.torch.save_file(tensors, foreign, {"dgunet": text})
        with pytest.raises(CheckpointError, match="not written by save_network"):
            load_network(foreign)


def test_an_official_file_is_refused_with_a_hint_to_import_it(tmp_path: Path) -> None:
    export_official(tiny(**SEVEN), tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="dgunet checkpoint import"):
        load_network(tmp_path / "n.pth")


@pytest.mark.parametrize(("task", "variant"), [(t, v) for t, v, a in FAMILY if a == "paper"])
def test_import_of_export_is_identity(task: str, variant: str, tmp_path: Path) -> None:
    network = tiny(task, variant, **SEVEN)
    first, second = tmp_path / "a.pth", tmp_path / "b.pth"
    export_official(network, first)
    imported, origin = import_official(first, config=network.config)
    assert same(imported, network)
    assert origin["origin"] == "a.pth" and origin["origin_sha256"] == sha256_file(first)
    export_official(imported, second)
    assert first.read_bytes() == second.read_bytes()


def test_float64_is_kept_by_the_official_format(tmp_path: Path) -> None:
    network = tiny(**SEVEN).double()
    export_official(network, tmp_path / "n.pth")
    imported, _ = import_official(tmp_path / "n.pth", config=network.config)
    assert next(imported.parameters()).dtype is torch.float64 and same(imported, network)


def test_half_precision_is_imported_as_float32(tmp_path: Path) -> None:
    network = tiny(**SEVEN).bfloat16()
    export_official(network, tmp_path / "n.pth")
    imported, _ = import_official(tmp_path / "n.pth", config=network.config)
    assert next(imported.parameters()).dtype is torch.float32 and same(imported, network.float())


def write(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("prefix", [PREFIX, ""])
@pytest.mark.parametrize("wrapped", [True, False])
def test_prefix_and_wrapper_are_optional(prefix: str, wrapped: bool, tmp_path: Path) -> None:
    network = tiny(**SEVEN)
    state = {prefix + k: v for k, v in official_state(network).items()}
    content = {"state_dict": state, "epoch": 3} if wrapped else state
    path = write(tmp_path / "n.pth", content)
    assert same(import_official(path, config=network.config)[0], network)


@pytest.mark.parametrize("prefix", [PREFIX * 2, PREFIX * 3])
def test_repeated_prefixes_are_removed(prefix: str, tmp_path: Path) -> None:
    """As from a network that was wrapped for several GPUs repeatedly."""
    network = tiny(**SEVEN)
    state = {prefix + k: v for k, v in official_state(network).items()}
    path = write(tmp_path / "n.pth", {"state_dict": state})
    imported, origin = import_official(path, config=network.config)
    assert same(imported, network) and origin["origin_format"].endswith(f"(wrapped, {prefix})")
    state[PREFIX + "stray"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"only some keys start with 'module\.module\."):
        read_official(write(tmp_path / "n.pth", state))


@pytest.mark.parametrize("keys", [("params",), ("params_ema",), ("params", "params_ema")])
def test_basicsr_keys_are_read_and_the_average_is_preferred(
    keys: tuple[str, ...], tmp_path: Path
) -> None:
    network, other = tiny(**SEVEN), tiny(**SEVEN)
    content = {key: official_state(other) for key in keys}
    content[keys[-1]] = official_state(network)
    imported, origin = import_official(write(tmp_path / "n.pth", content), config=network.config)
    assert same(imported, network)
    assert origin["origin_format"].endswith(f"(under {keys[-1]})")


def test_objects_stored_with_the_weights_are_reported(tmp_path: Path) -> None:
    state = {"module.r0": torch.zeros(1)}
    for extra, description in [
        (np.float64(31.5), r"a NumPy number, numpy\.\S+scalar"),
        (np.zeros(3), r"a NumPy array, numpy\."),
        (argparse.Namespace(lr=1), r"argparse\.Namespace"),
    ]:
        path = write(tmp_path / "n.pth", {"state_dict": state, "best": extra})
        with pytest.raises(CheckpointError, match=description) as refused:
            read_official(path)
        assert len(str(refused.value)) < 300 and "weights_only" not in str(refused.value)
    for content in ({"model": state}, {"epoch": 3, "model": state}):
        with pytest.raises(CheckpointError, match=r"model is a mapping.*one of state_dict, params"):
            read_official(write(tmp_path / "n.pth", content))


def test_a_long_list_of_keys_is_shortened(tmp_path: Path) -> None:
    network = tiny(**SEVEN)
    state = {f"net.{k}": v for k, v in official_state(network).items()}
    with pytest.raises(CheckpointError, match=r"missing r0;.*and \d+ more\.") as refused:
        import_official(write(tmp_path / "n.pth", state), config=network.config)
    assert len(str(refused.value)) < 1500


def test_unused_keys_of_raw_training_files_are_dropped(tmp_path: Path) -> None:
    network = tiny(**SEVEN)
    stale = {
        f"stage1_encoder.body.{i}.{m}.{leaf}": torch.zeros(1)
        for i in range(3)
        for m in ("csff_enc", "csff_dec", "phi", "gamma")
        for leaf in ("weight", "bias")
    }
    path = write(tmp_path / "n.pth", official_state(network) | stale)
    imported, origin = import_official(path, config=network.config)
    assert same(imported, network) and origin["origin_dropped"] == "24"


def test_the_last_of_shared_keys_is_used_as_in_the_official_loader(tmp_path: Path) -> None:
    network = tiny(**SEVEN)
    state = {k: v.clone() for k, v in official_state(network).items()}
    state["phit_6.body.1.weight"].fill_(0.75)
    path = write(tmp_path / "n.pth", state)
    imported, _ = import_official(path, config=network.config)
    assert imported.first.gradient.f_a.activation.weight.item() == 0.75


def test_missing_unexpected_and_misshapen_keys_are_listed(tmp_path: Path) -> None:
    network = tiny(**SEVEN)
    state = official_state(network)
    state["stray.weight"] = state.pop("r0")
    state["tail.weight"] = torch.zeros(2, 2)
    path = write(tmp_path / "n.pth", {"state_dict": state})
    with pytest.raises(CheckpointError) as refused:
        import_official(path, config=network.config)
    for problem in ("missing r0", "unexpected stray.weight", "misshapen tail.weight: (2, 2)"):
        assert problem in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights_are_refused(value: float, tmp_path: Path) -> None:
    state = {k: v.clone() for k, v in official_state(tiny(**SEVEN)).items()}
    state["tail.weight"][0, 0, 0, 0] = value
    path = write(tmp_path / "n.pth", state)
    with pytest.raises(CheckpointError, match=r"1 keys have NaN or infinite values: tail\.weight"):
        import_official(path, config=tiny(**SEVEN).config)


def test_files_of_old_torch_are_read(tmp_path: Path) -> None:
    network = tiny(**SEVEN)
    path = tmp_path / "n.pth"
    torch.save(official_state(network), path, _use_new_zipfile_serialization=False)
    assert same(import_official(path, config=network.config)[0], network)


@pytest.mark.parametrize("zipped", [True, False])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_damaged_official_files_are_refused_in_one_line(zipped: bool, data: st.DataObject) -> None:
    """A truncated or changed file is refused, or read if only a value changed."""
    buffer = io.BytesIO()
    state = {"module.r0": torch.rand(1), "module.tail.weight": torch.rand(3, 4, 3, 3)}
    torch.save({"state_dict": state}, buffer, _use_new_zipfile_serialization=zipped)
    content = bytearray(buffer.getvalue())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:position]
    else:
        content[position] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "n.pth"
        path.write_bytes(content)
        try:
            recognise(read_official(path))
        except CheckpointError as refused:
            assert "\n" not in str(refused)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled code ran",)


def test_unsafe_and_invalid_pickles_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content, message in [
        ({"state_dict": Evil()}, "cannot be read safely"),
        ([1, 2], "no state dict"),
        ({}, "no state dict"),
        ({"a": 1}, "a is not a tensor"),
        ({"a": torch.zeros(1, dtype=torch.int64)}, "a is not a tensor of real numbers"),
        ({3: torch.zeros(1)}, "the key 3 is not a string"),
        ({"module.a": torch.zeros(1), "b": torch.zeros(1)}, "only some keys"),
    ]:
        with pytest.raises(CheckpointError, match=message) as refused:
            read_official(write(tmp_path / "n.pth", content))
        assert "weights_only" not in str(refused.value)
    assert "ran" not in capsys.readouterr().out
    (tmp_path / "n.pth").write_bytes(b"\x00\x01")
    with pytest.raises(CheckpointError, match="cannot be read safely"):
        read_official(tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_official(tmp_path / "none.pth")


def recognised(state: dict[str, torch.Tensor], folder: Path, **choices: str) -> object:
    return recognise(read_official(write(folder / "n.pth", state)), **choices)


def test_networks_are_recognised_by_their_keys(tmp_path: Path) -> None:
    for task, variant, ratio in [
        ("derain", "DGUNet", None),
        ("derain", "DGUNet+", None),
        ("cs", "DGUNet", 1),
        ("cs", "DGUNet+", 25),
    ]:
        config = preset(task, variant, ratio=ratio)
        assert recognised(official_state(DGUNet(config)), tmp_path) == config
    sensing = official_state(DGUNet(preset("cs", ratio=4)))
    block = recognised(sensing, tmp_path, proximal_domain="block")
    assert block == preset("cs", ratio=4, proximal_domain="block")
    with pytest.raises(CheckpointError, match="has the sampling matrix"):
        recognised(sensing, tmp_path, task="derain")
    with pytest.raises(CheckpointError, match="lacks the sampling matrix"):
        recognised({"r0": torch.zeros(1)}, tmp_path, task="cs")
    with pytest.raises(CheckpointError, match="no known ratio"):
        recognised(sensing | {"Phi": torch.zeros(12, 1024)}, tmp_path)
    # Only the keys and widths that recognition reads; the full network has 70 MB.
    wide = {
        "basic.r1": torch.zeros(1),
        "shallow_feat1.0.weight": torch.zeros(80, 3, 3, 3),
        "stage1_encoder.body.0.conv_1.weight": torch.zeros(128, 80, 3, 3),
    }
    with pytest.raises(CheckpointError, match="deblur and denoise DGUNet are the same"):
        recognised(wide, tmp_path)
    assert recognised(wide, tmp_path, task="denoise") == preset("denoise")


def test_an_unknown_network_is_compared_with_the_nearest_known_one(tmp_path: Path) -> None:
    path = write(tmp_path / "n.pth", {"conv.weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"missing r0.*unexpected conv\.weight"):
        import_official(path)


@pytest.mark.parametrize(
    "change", [{"stages": 5}, {"architecture": "paper"}, {"fusion": "addition"}]
)
def test_only_official_networks_can_be_exported(change: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="authors' format has no network"):
        export_official(tiny(**(SEVEN | change)), tmp_path / "n.pth")
    assert not (tmp_path / "n.pth").exists()
