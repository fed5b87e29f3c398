"""Fetching the authors' weights: archives in their layout, with networks of full size."""

import io
import json
import zipfile
from functools import cache

import pytest
import torch
from data_internet import QUOTA, internet

from dgunet.data.acquisition.released_weights import released_weights
from dgunet.network import load_network
from dgunet.network.config import preset
from dgunet.network.dgunet import DGUNet
from dgunet.network.official import export_official
from dgunet.system.errors import CheckpointError, ConfigError, DataError
from dgunet.system.files import sha256_bytes

RGB, CS = "1bitvtmJAE1iKpFmdGx3OrN6Xti0JRPLc", "1euV8SnXHuYswwbm9FaV1y5RQRLd58ou_"
CS_NAME = "CS_DGUNet_P32_s7_v7_hi3_u4_{}lm2_learn_BSD_DIV2K_fine_layerICNN_15_layerIFC_5_group_1"


@cache
def made(task, variant, ratio=None, mark=0.5):
    """Bytes of a checkpoint in the authors' format, of a network of zeros marked by its step."""
    with torch.device("meta"):
        network = DGUNet(preset(task, variant, ratio=ratio))
    network.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.first.gradient.rho.fill_(mark)
    path = _scratch / f"{task}{variant}{ratio}{mark}.pth"
    export_official(network, path)
    return path.read_bytes()


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory):
    global _scratch
    _scratch = tmp_path_factory.mktemp("made")


def packed(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as handle:
        for name, content in members.items():
            handle.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def rgb(_folder):
    """An archive like the authors': the same names in one folder per task."""
    deblur, denoise = made("deblur", "DGUNet", mark=0.25), made("denoise", "DGUNet", mark=0.75)
    return packed(
        {
            "DGUNet/Deraining/pretrained_models/DGUNet.pth": made("derain", "DGUNet"),
            "DGUNet/Deraining/pretrained_models/DGUNet_plus.pth": made("derain", "DGUNet+"),
            "DGUNet/Deblurring/pretrained_models/DGUNet.pth": deblur,
            "DGUNet/Denoising/pretrained_models/DGUNet.pth": denoise,
            "DGUNet/README.txt": b"thanks",
        }
    )


@pytest.fixture
def net(tmp_path, monkeypatch):
    with internet() as net:
        monkeypatch.setenv("DGUNET_SOURCES", str(net.overlay(tmp_path / "own.yaml")))
        yield net


@pytest.fixture
def fetch(net, tmp_path):
    def run(task, variant="DGUNet", ratio=None, consent=lambda plan: True):
        out = tmp_path / f"{task}-{variant}-{ratio}.safetensors"
        return released_weights(task, variant, ratio, out, tmp_path / "downloads", consent=consent)

    return run


def test_the_folder_tells_deblurring_from_denoising(net, rgb, fetch, tmp_path):
    net.drive[RGB] = rgb
    for task, folder, mark in (("deblur", "Deblurring", 0.25), ("denoise", "Denoising", 0.75)):
        network, extra = load_network(fetch(task))
        assert network.config.task == task
        assert network.first.gradient.rho.item() == mark
        assert extra["origin"] == f"DGUNet/{folder}/pretrained_models/DGUNet.pth"
    assert extra["origin_place"] == "dgunet-weights"
    assert extra["origin_archive_sha256"] == sha256_bytes(rgb)
    assert net.ranges == [None]  # the second network came from the archive that was kept
    record = json.loads((tmp_path / "denoise-DGUNet-None.safetensors.source.json").read_text())
    assert record["digest"] == "nobody states a digest"
    assert record["member"] == extra["origin"]
    assert record["member_sha256"] == sha256_bytes(made("denoise", "DGUNet", mark=0.75))


def test_a_network_that_the_archive_lacks_is_refused_with_the_list(net, rgb, fetch, tmp_path):
    net.drive[RGB] = rgb
    with pytest.raises(CheckpointError) as refused:
        fetch("denoise", "DGUNet+")
    assert "no file in it is denoise DGUNet+" in refused.value.message
    assert "Deblurring/pretrained_models/DGUNet.pth (DGUNet)" in refused.value.message
    assert "dgunet checkpoint import" in refused.value.hint
    assert (tmp_path / "downloads/dgunet-weights.archive").is_file()
    assert not list(tmp_path.glob("*.safetensors"))


def test_without_telling_folders_the_choice_is_refused(net, fetch):
    both = {
        "a/DGUNet.pth": made("deblur", "DGUNet", mark=0.25),
        "b/DGUNet.pth": made("denoise", "DGUNet", mark=0.75),
    }
    net.drive[RGB] = packed(both)
    with pytest.raises(CheckpointError, match=r"cannot be decided.*a/DGUNet.pth, b/DGUNet.pth"):
        fetch("deblur")


def test_one_file_of_the_other_task_is_not_taken(net, fetch):
    net.drive[RGB] = packed({"Denoising/DGUNet.pth": made("denoise", "DGUNet", mark=0.75)})
    with pytest.raises(CheckpointError, match=r"cannot be decided.*Denoising/DGUNet.pth"):
        fetch("deblur")


def test_a_single_file_instead_of_an_archive_is_accepted(net, fetch):
    net.drive[RGB] = made("derain", "DGUNet")
    network, extra = load_network(fetch("derain"))
    assert network.config == preset("derain", "DGUNet")
    assert extra["origin"] == "dgunet-weights.archive"


@pytest.fixture(scope="module")
def sensing(_folder):
    """An archive with ratios in folders, as the authors' training names them."""
    shared, plus = CS_NAME.format("rp_"), CS_NAME.format("")
    return packed(
        {
            f"model/{shared}_ratio_10/net_best.pkl": made("cs", "DGUNet", 10),
            f"model/{shared}_ratio_25/net_best.pkl": made("cs", "DGUNet", 25),
            f"model/{plus}_ratio_10/net_best.pkl": made("cs", "DGUNet+", 10),
        }
    )


def test_a_sensing_network_brings_its_sampling_matrix(net, sensing, fetch):
    net.drive[CS] = sensing
    network, extra = load_network(fetch("cs", "DGUNet+", 10))
    assert (network.config.variant, network.config.ratio) == ("DGUNet+", 10)
    assert network.operator.phi.shape == (103, 1024)
    assert extra["origin"] == f"model/{CS_NAME.format('')}_ratio_10/net_best.pkl"
    with pytest.raises(CheckpointError, match=r"no file in it is cs 50 % DGUNet"):
        fetch("cs", "DGUNet", 50)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (QUOTA, "quota"),
        (b"no weights" * 500, "neither weights nor a zip or tar archive"),
        (packed({"readme.txt": bytes(5000), "x.npy": b"1"}), "the archive holds no .pkl"),
        (packed({"../DGUNet.pth": b"1" * 3000}), "outside"),
    ],
)
def test_other_content_is_told_with_the_way_by_hand(net, fetch, tmp_path, content, reason):
    net.drive[RGB] = content
    with pytest.raises(DataError) as refused:
        fetch("derain")
    assert reason in refused.value.message
    assert "dgunet checkpoint import FILE --task derain" in refused.value.hint
    assert not list(tmp_path.glob("*.safetensors*"))
    assert not list((tmp_path / "downloads").glob("*.archive"))


def test_an_unsafe_pickle_is_not_run(net, fetch, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (tmp_path.__class__.touch, (tmp_path / "ran",))

    content = pickle.dumps(Evil(), protocol=2) + bytes(3000)
    net.drive[RGB] = packed({"Deraining/DGUNet.pth": content})
    with pytest.raises(CheckpointError, match="no file in it is derain DGUNet"):
        fetch("derain")
    assert not (tmp_path / "ran").exists()


def test_the_file_to_write_and_the_consent_come_first(net, fetch, tmp_path):
    (tmp_path / "derain-DGUNet-None.safetensors").touch()
    with pytest.raises(CheckpointError, match="already exists"):
        fetch("derain")
    with pytest.raises(DataError, match="not accepted"):
        fetch("deblur", consent=lambda plan: False)
    with pytest.raises(ConfigError, match="needs a ratio"):
        fetch("cs")
    assert net.paths == []


def test_the_command(net, rgb, dgunet, tmp_path):
    net.drive[RGB] = rgb
    out = tmp_path / "w.safetensors"
    line = ["checkpoint", "fetch", "released", "--task", "derain", "--variant", "DGUNet+"]
    folders = ["--out", str(out), "--downloads", str(tmp_path / "d")]
    done = dgunet(*line, *folders, "--accept-licence")
    assert done.returncode == 0, done.stderr
    assert "no licence file" in done.stdout and f"wrote {out}" in done.stdout
    assert load_network(out)[0].config == preset("derain", "DGUNet+")
    assert "unknown variant" in dgunet(*line[:-1], "DGUNet++", *folders).stderr
    assert "Write `released`" in dgunet("checkpoint", "fetch", "ours", "--task", "derain").stderr
