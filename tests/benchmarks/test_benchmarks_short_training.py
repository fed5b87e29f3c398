"""A short training's results: what was trained, and every image's score on each machine."""

import json

import pandas as pd
import pytest
import torch

from benchmarks import short_training
from benchmarks.page import page
from dgunet.network import DGUNet, preset
from dgunet.network.checkpoint import save_network
from dgunet.system.files import sha256_file

GPU = {"device": "cuda", "cpu": "A CPU", "kernels": "avx2", "cores": 2, "threads": 1}
GPU |= {"gpu": "A GPU", "software": {"torch": "2.13.0"}}

SUMMARY = {"dataset": "Set11", "variant": "DGUNet", "ratio": 10, "images": 2, "input_psnr": 7.5}
SUMMARY |= {"published_images": 11, "data_digest": "d", "checkpoint_sha256": "c"}
SUMMARY |= {"protocol": "cs-y", "protocol_version": 1, "psnr": 25.0, "ssim": 0.75}


def evaluated(folder, *psnrs):
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    pd.DataFrame({"id": ["a", "b"], "psnr": psnrs}).to_parquet(folder / "per_image.parquet")


@pytest.fixture
def arguments(tmp_path):
    trained = tmp_path / "trained"
    trained.mkdir()
    small = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 8, "stages": 3}
    header = {"key": "cs-r10-DGUNet", "train.dataset": "BSD400", "train.data_digest": "d"}
    network = DGUNet(preset("cs", ratio=10, **small))
    save_network(
        network, trained / "network.safetensors", header | {"train.switches": "bfloat16, compile"}
    )
    (trained / "training.json").write_text('{"iterations": 150, "selection_step": 100}')
    losses = [f"{step},{2.0 if step < 100 else 1.0}" for step in range(150)]
    (trained / "loss.csv").write_text("\n".join(["step,loss", *losses]))
    (trained / "validation.csv").write_text("steps,psnr\n50,20.5\n100,21.25\n150,21.0\n")
    (tmp_path / "log").write_text('chosen\n{"step": 150, "steps_per_s": 1.5}\ntrained\n')
    settings = "profile: paper\nsample: {train: {cs: {batch: 2}}}\npaper: {train: {cs: {batch: 8}}}"
    (tmp_path / "params").write_text(settings)
    (tmp_path / "machine").write_text(json.dumps({"machine": GPU}))
    evaluated(tmp_path / "evaluation/Set11/r10", 24.0, 26.0)
    given = {"training": trained, "code": "0123", "out": tmp_path}
    given |= {name: tmp_path / name for name in ("log", "params", "machine", "evaluation")}
    return [text for name, value in given.items() for text in (f"--{name}", str(value))]


def written(tmp_path, arguments):
    torch.manual_seed(0)
    assert short_training.main(arguments) == 0
    (path,) = tmp_path.glob("short-training-*.json")
    return json.loads(path.read_text())


def test_the_file_says_what_was_trained_for_how_long(tmp_path, arguments):
    found = written(tmp_path, arguments)["training"]
    assert found["loss"] == [[0, 2.0], [100, 1.0]] and found["batch"] == 8
    assert found["seconds"] == 100 and found["validation"][1] == [100, 21.25]
    assert found["weights"] == sha256_file(tmp_path / "trained/network.safetensors")


def test_the_page_states_the_scores_beside_the_papers(tmp_path, arguments):
    written(tmp_path, arguments)
    text = page(tmp_path)
    assert "150 steps of 8 blocks of BSD400 (1,200 blocks) in 100 s with bfloat16, compile" in text
    assert "21.25 dB after step 100" in text
    line = (
        "| cs 10 % DGUNet, Set11 | 2 of 11 | 25.0000 dB | 0.7500 | 7.50 dB | 31.07 dB | 6.07 dB |"
    )
    assert f"{line} not measured |" in text


def test_two_machines_are_compared_image_by_image(tmp_path, arguments):
    evaluated(tmp_path / "other/Set11/r10", 24.5, 25.75)
    found = written(tmp_path, [*arguments, "--other", str(tmp_path / "other")])
    assert found["scores"][0]["per_image"] == [["a", 24.0, 24.5], ["b", 26.0, 25.75]]
    assert "| 6.07 dB | 0.5 dB |" in page(tmp_path)


def test_a_set_that_the_other_machine_did_not_score_is_not_measured(tmp_path, arguments):
    (tmp_path / "other").mkdir()
    found = written(tmp_path, [*arguments, "--other", str(tmp_path / "other")])
    assert found["scores"][0]["per_image"] == [["a", 24.0], ["b", 26.0]]
