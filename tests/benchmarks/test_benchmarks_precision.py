"""PSNR in lower precision: compared image by image with float32, written once per case."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import precision
from benchmarks.page import page
from dgunet.network import DGUNet, preset
from dgunet.network.checkpoint import save_network

MACHINE = {
    "device": "cpu",
    "cpu": "A CPU",
    "kernels": "avx2",
    "cores": 2,
    "threads": 1,
    "gpu": None,
    "software": {"torch": "2.13.0"},
}


class SmallSet:
    """Two grey images as a prepared set."""

    manifest = SimpleNamespace(dataset="Set11", digest="d" * 64, protocol="cs-y")

    def __init__(self):
        noise = np.random.default_rng(1)
        self.images = noise.integers(0, 256, (2, 40, 48, 1), np.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = np.repeat(self.images[index], 3, axis=2)
        return SimpleNamespace(id=str(index), input=None, target=image)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    torch.manual_seed(0)
    small = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 8, "stages": 3}
    network = DGUNet(preset("cs", ratio=10, **small)).eval()
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    save_network(network, path)
    return list(precision.compared(network, path, SmallSet()))


def test_bfloat16_changes_every_image_and_tf32_none_on_a_cpu(rows):
    assert [row["candidate"] for row in rows] == ["TF32", "bfloat16"]
    tf32, bfloat16 = (row["psnr"] for row in rows)
    assert len(tf32) == 2 and all(a == b for a, b in tf32)
    assert all(0 < abs(a - b) < 1 for a, b in bfloat16)


def test_a_row_names_weights_data_and_protocol(rows):
    assert {row["case"] for row in rows} == {"cs 10 % DGUNet, Set11"}
    assert all(row["protocol"] == "cs-y" and row["data"] == "d" * 64 for row in rows)
    assert all(len(row["weights"]) == 64 for row in rows)


def test_a_table_states_the_largest_difference_with_its_sign():
    row = {"case": "x", "candidate": "bfloat16", "psnr": [[30.0, 30.01], [31.0, 30.5]]}
    _, line = precision.lines([row])
    assert line[2:] == ["2", "30.5000 dB", "30.2550 dB", "-0.24500 dB", "-0.50000 dB"]


def test_a_case_is_replaced_and_others_stay(rows, tmp_path):
    precision.write([row | {"case": "another"} for row in rows], MACHINE, tmp_path)
    path = precision.write(rows, MACHINE, tmp_path)
    assert path == precision.write(rows, MACHINE, tmp_path)
    kept = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert [row["case"] for row in kept] == ["another"] * 2 + ["cs 10 % DGUNet, Set11"] * 2
    assert "| cs 10 % DGUNet, Set11 | bfloat16 | 2 |" in page(tmp_path)
