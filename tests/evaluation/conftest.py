"""Fixtures of the evaluation tests: small datasets, a checkpoint, the benchmark images."""

import json
import os
from pathlib import Path

import pytest
from evaluation_stand_ins import MemoryStore, box_store, evaluate_store, records

from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.restoration import identity
from dgunet.network import DGUNet, preset, save_network


@pytest.fixture
def rain_store():
    return MemoryStore(records(5))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The checkpoint of a small deraining network."""
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    save_network(DGUNet(preset("derain", n_feat=8, scale=4, stages=3)), path)
    return path


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory):
    """An evaluation of fifty DND images, and its summary under the paper profile."""
    out = tmp_path_factory.mktemp("dnd")
    store, rules = box_store(images=50), protocol("dnd-server")
    evaluate_store(identity, store, rules, out, checkpoint_sha256="c" * 64)
    summary = json.loads((out / "summary.json").read_text()) | {"profile": "paper"}
    return out, summary


@pytest.fixture(scope="session")
def benchmarks():
    """The folder of real benchmark images."""
    folder = os.environ.get("DGUNET_BENCHMARKS")
    if not folder:
        pytest.skip("DGUNET_BENCHMARKS does not name the folder of the real benchmark images")
    return Path(folder)


@pytest.fixture(scope="session")
def golden(benchmarks):
    """The folder of recorded outputs of the released code."""
    folder = benchmarks.parent / "reference" / "golden"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    return folder
