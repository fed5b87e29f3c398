"""Untrusted checkpoint headers: validated against the file before a network is allocated."""

import json
import os

import pytest
import safetensors.torch
import torch
from network_tiny import tiny

from dgunet.network import DGUNet, checkpoint, load_network, save_network
from dgunet.network.checkpoint import read_safetensors
from dgunet.network.describe import paper_networks
from dgunet.network.header import HEADER_BYTES, read_header
from dgunet.network.official import export_official, read_official
from dgunet.network.size import count_parameters
from dgunet.system.errors import CheckpointError, ConfigError, DgunetError


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Tensors and metadata of a small network, which tests write again with defects."""
    path = tmp_path_factory.mktemp("weights") / "n.safetensors"
    save_network(tiny(), path)
    tensors, metadata = read_safetensors(path)
    return tensors, json.loads(metadata["dgunet"])


def written(path, tensors, header):
    text = header if isinstance(header, str) else json.dumps(header)
    safetensors.torch.save_file(tensors, path, {"dgunet": text})
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_feat": 10**9}, "n_feat=1000000000 is not allowed. Use a whole number from 1 to 4096"),
        ({"stages": 10**6}, "stages=1000000 is not allowed. Use a whole number from 2 to 64"),
        ({"scale": 4096, "n_feat": 4096}, "make a network of"),
        ({"gradient_width": True}, "gradient_width=True is not allowed"),
        ({"n_feat": 8.0}, "n_feat=8.0 is not allowed"),
        ({"n_feat": "8"}, "n_feat='8' is not allowed"),
        ({"n_feat": [8] * 10**5}, "n_feat=[8, 8, "),
        ({"task": {"a": 1}}, "task={'a': 1} is not allowed"),
        ({"x" * 10**5: 1}, "has no field xxx"),
    ],
)
def test_a_config_outside_the_allowed_ranges_is_reported(parts, tmp_path, change, message):
    tensors, header = parts
    wrong = header | {"config": header["config"] | change}
    with pytest.raises(ConfigError) as refused:
        load_network(written(tmp_path / "n.safetensors", tensors, wrong))
    assert message in str(refused.value)
    assert len(str(refused.value)) < 1500


def test_a_small_file_never_allocates_a_large_network(parts, tmp_path, monkeypatch):
    """The shapes are compared first, because the network would need a gigabyte."""
    tensors, header = parts
    large = header | {"config": header["config"] | {"n_feat": 256, "scale": 256}}
    path = written(tmp_path / "n.safetensors", tensors, large)
    made = []

    def watched(config):
        network = DGUNet(config)
        made.append(next(network.parameters()).device.type)
        return network

    monkeypatch.setattr(checkpoint, "DGUNet", watched)
    with pytest.raises(CheckpointError, match="misshapen"):
        load_network(path)
    assert made == ["meta"]  # a device whose tensors have no storage


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "dgunet-network-1", "format": "dgunet-network-1"}',
        "[" * 100_000,
        "NaN",
        "7",
        "null",
        '{"format": ["dgunet-network-1"]}',
        '{"format": "dgunet-network-1", "config": [], "extra": {}}',
    ],
)
def test_foreign_metadata_is_refused(parts, tmp_path, text):
    with pytest.raises(CheckpointError, match="was not written by save_network"):
        load_network(written(tmp_path / "n.safetensors", parts[0], text))


def framed(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


FACT = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        b"\0" * 100,
        b"\x10\0\0",
        (2**63).to_bytes(8, "little") + b"{}",
        framed(b"[]"),
        framed(b"\xff\xfe"),
        framed(b"{" * 70_000),
        framed(b'{"a": 1}'),
        framed({"a": FACT}),
        framed({"a": FACT | {"data_offsets": [0, 10**15]}}, bytes(4)),
        framed({"a": FACT | {"data_offsets": [4, 0]}}, bytes(4)),
        framed({"a": FACT | {"data_offsets": "ab"}}, bytes(4)),
        framed({"a": FACT | {"shape": [10**9, 10**9]}}, bytes(4)),
        framed({"a": FACT | {"shape": [-1]}}, bytes(4)),
        framed({"a": FACT | {"shape": [1.0]}}, bytes(4)),
        framed({"a": FACT | {"shape": [True]}}, bytes(4)),
        framed({"a": FACT | {"dtype": 7}}, bytes(4)),
        framed({"a": FACT | {"dtype": "F3"}}, bytes(4)),
        framed(b'{"a": %b, "a": %b}' % ((json.dumps(FACT).encode(),) * 2), bytes(4)),
        framed({"__metadata__": {"dgunet": 1}, "a": FACT}, bytes(4)),
        framed({"__metadata__": [], "a": FACT}, bytes(4)),
    ],
)
def test_an_invalid_header_gives_a_one_line_error(tmp_path, content):
    path = tmp_path / "n.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        load_network(path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_header_that_is_too_long_is_not_read(tmp_path):
    path = tmp_path / "n.safetensors"
    with path.open("wb") as file:
        file.write((HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(HEADER_BYTES + 100)
    with pytest.raises(CheckpointError, match="its header is longer than"):
        read_header(path)


def test_folders_and_pipes_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match="is not a regular file"):
            load_network(path)
        with pytest.raises(CheckpointError, match="is not a regular file"):
            read_official(path)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8, torch.float8_e4m3fn])
def test_weights_of_non_floating_types_are_refused(parts, tmp_path, dtype):
    tensors, header = parts
    wrong = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    with pytest.raises(CheckpointError, match="Weights must be float32"):
        load_network(written(tmp_path / "n.safetensors", wrong, header))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_of_other_floating_types_keep_their_type(parts, tmp_path, dtype):
    tensors, header = parts
    same = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    network, _ = load_network(written(tmp_path / "n.safetensors", same, header))
    assert {p.dtype for p in network.parameters()} == {dtype}


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(parts, tmp_path, cut):
    path = written(tmp_path / "n.safetensors", *parts)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(DgunetError, match=r"n\.safetensors"):
        load_network(path)


def test_expanded_and_sparse_tensors_are_refused(tmp_path):
    """An expanded view in a pickle can stand for gigabytes."""
    for tensor in (torch.zeros(1).expand(10**6, 10**6), torch.zeros(3).to_sparse()):
        torch.save({"a": tensor}, tmp_path / "n.pth")
        with pytest.raises(CheckpointError, match="a is not a tensor of real numbers"):
            read_official(tmp_path / "n.pth")


def test_loading_draws_as_many_random_numbers_as_construction(tmp_path):
    """Comparing the shapes first does not change the random numbers of a later training."""
    path = tmp_path / "n.safetensors"
    network = tiny()
    save_network(network, path)
    torch.manual_seed(0)
    DGUNet(network.config)
    before = torch.get_rng_state()
    torch.manual_seed(0)
    load_network(path)
    assert torch.equal(torch.get_rng_state(), before)


def counted(config):
    with torch.device("meta"):
        return sum(p.numel() for p in DGUNet(config).parameters())


@pytest.mark.parametrize("architecture", ["released", "paper"])
def test_parameters_are_counted_without_building_the_network(architecture):
    for config in paper_networks(architecture=architecture):
        assert count_parameters(config) == counted(config)


def test_a_compressed_pickle_is_refused(tmp_path):
    """Torch stores without compression; a compressed member may unpack to terabytes."""
    import zipfile

    export_official(tiny(stages=7), tmp_path / "n.pth")
    with (
        zipfile.ZipFile(tmp_path / "n.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(CheckpointError, match="is compressed"):
        read_official(tmp_path / "packed.pth")
