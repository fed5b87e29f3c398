"""The pipeline `reproduce` with the authors' weights: branches, arguments, plan, a real run."""

import importlib.util
import io
import json
import zipfile

import pandas as pd
import pytest
import torch

from dgunet.evaluation.results import read_result
from dgunet.kubeflow import run_records
from dgunet.network import load_network
from dgunet.network.config import preset
from dgunet.network.dgunet import DGUNet
from dgunet.network.official import export_official
from dgunet.system.files import sha256_bytes

DRIVE_ID = "1bitvtmJAE1iKpFmdGx3OrN6Xti0JRPLc"
DERAIN = [{"kind": "derain", "variant": "DGUNet", "ratio": 0, "training_set": "Rain13K"}]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive like the authors', with random deraining networks of full size."""
    folder = tmp_path_factory.mktemp("authors")
    torch.manual_seed(5)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as handle:
        for variant, name in (("DGUNet", "DGUNet.pth"), ("DGUNet+", "DGUNet_plus.pth")):
            export_official(DGUNet(preset("derain", variant)), folder / name)
            handle.write(folder / name, f"DGUNet/Deraining/pretrained_models/{name}")
    return buffer.getvalue()


@pytest.fixture
def net(project, tmp_path, monkeypatch, archive):
    """A stand-in for Google Drive that has the archive; the steps find it by DGUNET_SOURCES."""
    path = project / "tests" / "data" / "data_internet.py"
    spec = importlib.util.spec_from_file_location("data_internet", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.internet() as servers:
        servers.drive[DRIVE_ID] = archive
        monkeypatch.setenv("DGUNET_SOURCES", str(servers.overlay(tmp_path / "own.yaml")))
        monkeypatch.setenv("DGUNET_ACCEPT_LICENCE", "")
        yield servers


@pytest.fixture
def clone(project, tmp_path, monkeypatch):
    """A project folder with the pipelines of the checkout."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("pipelines", "components", "params.yaml", "data.dvc", "records"):
        (home / name).symlink_to(project / name)
    monkeypatch.setenv("DGUNET_HOME", str(home))
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def reproduce(dgunet, clone, sample_root):
    """A function that runs `reproduce` on one set of the sample."""

    def run(*options, **given):
        asked = {
            "weights": "released",
            "networks": json.dumps(DERAIN),
            "test_sets": "Rain100L",
            "data_source": sample_root,
            "data_version": "the sample",
        } | given
        parameters = [part for name, value in asked.items() for part in ("-p", f"{name}={value}")]
        return dgunet("pipeline", "run", "reproduce", *options, *parameters)

    return run


@pytest.mark.slow
def test_a_run_fills_cells_with_the_authors_weights_without_a_training(
    net, reproduce, clone, archive
):
    done = reproduce("--accept-licence")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no licence file" in done.stdout
    (record,) = run_records.last(clone, 1)
    log = run_records.log_lines(run_records.folder(clone, record.run_id) / "log.txt")
    finished = {line for line in map(run_records.finished_step, log) if line}
    print(*sorted(finished), *clone.rglob("*"), sep="\n")
    steps = {line.split()[1] for line in finished}
    raise SystemExit
