"""The pipeline `reproduce` with the authors' weights: branches, arguments, plan, a real run."""

import importlib.util
import io
import json
import shutil
import zipfile

import pandas as pd
import pytest
import torch
from small_images import crop_images

from dgunet.evaluation.results import read_result
from dgunet.kubeflow import run_records
from dgunet.kubeflow.steps.released_network import fetch_released_network
from dgunet.network import load_network
from dgunet.network.config import preset
from dgunet.network.dgunet import DGUNet
from dgunet.network.official import export_official
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.files import sha256_bytes, sha256_file

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
def reproduce(dgunet, clone, sample_root, tmp_path, warm, monkeypatch):
    """A function that runs `reproduce` on one set of the sample, its steps in a warm process."""
    monkeypatch.setenv("DGUNET_WARM", warm["DGUNET_WARM"])
    data, sets = tmp_path / "sample", ("Rain100L", "Rain100H")
    for name in sets:
        shutil.copytree(sample_root / "test" / name, data / "test" / name)
    crop_images(data, *sets)

    def run(*options, **given):
        asked = {
            "weights": "released",
            "networks": json.dumps(DERAIN),
            "test_sets": "Rain100L",
            "data_source": data,
            "data_version": "the sample",
        } | given
        parameters = [part for name, value in asked.items() for part in ("-p", f"{name}={value}")]
        return dgunet("pipeline", "run", "reproduce", *options, *parameters)

    return run


def weights_at(folder):
    """Return origin and SHA-256 of the fetched network in ``folder``."""
    path = folder / "model" / "network.safetensors"
    return load_network(path)[1], sha256_file(path)


@pytest.mark.slow
def test_a_run_fills_cells_with_the_authors_weights_without_a_training(
    net, reproduce, clone, archive
):
    done = reproduce("--accept-licence")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no licence file" in done.stdout and "2 results" in done.stdout
    (record,) = run_records.last(clone, 1)
    lines = run_records.log_lines(run_records.folder(clone, record.run_id) / "log.txt")
    steps = {end.name for end in map(run_records.StepEnd.from_log, lines) if end}
    assert {"fetch-weights", "evaluate", "evaluate-ablation", "tables", "report", "finish"} <= steps
    assert not steps & {"train", "train-ablation"} and len(net.ranges) == 2

    (out,) = clone.glob("build/pipelines/*/dgunet-reproduce-*")
    (loop,) = (path.parent for path in out.glob("*/fetch-weights*"))
    (plus,) = out.glob("fetch-weights*")
    origin, network = weights_at(next(loop.glob("fetch-weights*")))
    assert origin["origin"] == "DGUNet/Deraining/pretrained_models/DGUNet.pth"
    assert origin["origin_archive_sha256"] == sha256_bytes(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as handle:
        assert origin["origin_sha256"] == sha256_bytes(handle.read(origin["origin"]))
    summary = read_result(next(loop.glob("*/evaluate*/results")))
    assert (summary.row, summary.weights, summary.parity) == ("DGUNet", "released", True)
    assert summary.checkpoint_sha256 == network
    ablation = read_result(next(out.glob("*/evaluate-ablation*/results")))
    assert (ablation.row, ablation.weights) == ("stages-7", "released")
    assert ablation.checkpoint_sha256 == weights_at(plus)[1] != network

    cells = pd.read_parquet(f"{record.found['tables']}/cells.parquet")
    filled = cells[cells["state"] == "sample"]
    assert {*zip(filled["table"], filled["dataset"], filled["checkpoint_sha256"], strict=True)} == {
        (1, "Rain100L", network),
        *((table, "Rain100H", ablation.checkpoint_sha256) for table in (5, 6)),
    }
    assert {*filled["weights"]} == {"released"}


def test_without_consent_nothing_is_run_or_downloaded(net, reproduce, clone):
    done = reproduce()
    assert done.returncode == 1
    assert "no licence file" in done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert "--accept-licence, or set DGUNET_ACCEPT_LICENCE=DGUNet (or all)" in line
    assert not run_records.last(clone, 1) and not net.paths


def test_a_step_without_consent_shows_the_terms_and_the_setting(net, tmp_path, monkeypatch):
    with pytest.raises(ConfigError) as refused:
        fetch_released_network("derain", "DGUNet", None, tmp_path / "out")
    assert "no licence file" in refused.value.message
    assert "set DGUNET_ACCEPT_LICENCE=DGUNet (or all): on a cluster" in refused.value.hint
    monkeypatch.setenv("DGUNET_ACCEPT_LICENCE", "Rain100L, DGUNet-cs")
    with pytest.raises(ConfigError, match="has not been accepted"):
        fetch_released_network("derain", "DGUNet", None, tmp_path / "out")
    assert not net.paths and not list(tmp_path.rglob("*.safetensors"))


def test_a_step_fetches_one_network_and_leaves_no_archive(
    net, tmp_path, monkeypatch, archive, caplog
):
    monkeypatch.setenv("DGUNET_ACCEPT_LICENCE", "DGUNet")
    out = tmp_path / "out"
    facts = fetch_released_network("derain", "DGUNet+", None, out)
    assert facts["checkpoint_sha256"] == sha256_file(out / "network.safetensors")
    assert facts["source_sha256"] == sha256_bytes(archive)
    assert facts["origin"].endswith("DGUNet_plus.pth") and facts["variant"] == "DGUNet+"
    assert {path.name for path in out.iterdir()} == {
        "network.safetensors",
        "network.safetensors.source.json",
    }
    assert "derain DGUNet+: DGUNet/Deraining" in caplog.text and "kept" not in caplog.text


@pytest.mark.parametrize(
    ("task", "variant", "ratio", "expected"),
    [
        ("dehaze", "DGUNet", None, "unknown task 'dehaze'"),
        ("derain", "DGUNet++", None, "unknown variant"),
        ("cs", "DGUNet", None, "needs a ratio"),
        ("deblur", "DGUNet", None, "no file in it is deblur DGUNet"),
    ],
)
def test_networks_that_the_authors_lack_are_refused(
    net, tmp_path, monkeypatch, task, variant, ratio, expected
):
    monkeypatch.setenv("DGUNET_ACCEPT_LICENCE", "all")
    with pytest.raises(DgunetError, match=expected):
        fetch_released_network(task, variant, ratio, tmp_path / "out")
    assert not list(tmp_path.rglob("*.safetensors"))
