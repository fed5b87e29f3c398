"""`dgunet campaign`, `dvc repro` and the Kubeflow pipeline make the same results."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import stand_in
from data_internet import internet
from small_images import crop_images

from dgunet.network.kernels import CAPS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("campaign")]

SETS = ("Rain100L", "Set11")
RATIOS = (1, 4, 10, 25, 50)
STAGES = ("evaluate-derain@Rain100L-DGUNet", "evaluate-cs@Set11-DGUNet")


@pytest.fixture(scope="module")
def clone(project, tmp_path_factory, warm):
    """A clone with sample data, `weights: released`, and servers with the authors' archives."""
    folder = tmp_path_factory.mktemp("same")
    home = folder / "a clone"
    subprocess.run(["git", "clone", "--quiet", str(project), str(home)], check=True)
    params = home / "params.yaml"
    params.write_text(params.read_text().replace("weights: trained", "weights: released"))
    with internet() as net:
        networks = (("derain", "DGUNet"), ("derain", "DGUNet+"))
        net.drive[stand_in.RGB] = stand_in.rgb_archive(folder, *networks)
        net.drive[stand_in.CS] = stand_in.cs_archive(folder, *RATIOS)
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("DGUNET_", "GIT_", "DVC_")) and k not in CAPS
        }
        commands = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        env = kept | {
            "PATH": commands,
            "PYTHONPATH": str(home),
            "DGUNET_SOURCES": str(net.overlay(folder / "own.yaml")),
            "DGUNET_ACCEPT_LICENCE": "all",
            "DGUNET_TRACKING": "off",
            "DVC_NO_ANALYTICS": "1",
            **warm,
        }

        def run(*command):
            done = subprocess.run(
                command,
                cwd=home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-4000:]
            return done.stdout

        run("dvc", "pull", "--quiet", "data")
        crop_images(home / "data" / "sample", *SETS, "Rain100H")
        yield home, run


def results(folder):
    """What identifies each result, by set, row and ratio."""
    found = {}
    for path in sorted(folder.rglob("summary.json")):
        summary = json.loads(path.read_text())
        if summary["row"] == "DGUNet" and summary["dataset"] in SETS:
            key = summary["dataset"], summary["ratio"]
            found[key] = {
                name: summary[name]
                for name in (
                    *("psnr", "ssim", "data_digest", "checkpoint_sha256", "per_image_sha256"),
                    *("protocol", "weights", "images"),
                )
            }
    return found


@pytest.fixture(scope="module")
def by_dvc(clone):
    home, run = clone
    output = run("dvc", "repro", *STAGES)
    ran = set(re.findall(r"Running stage '([^']+)'", output))
    assert not any("train" in stage.partition(":")[2] for stage in ran), "a training ran"
    assert "pipelines/released/dvc.yaml:fetch-derain@DGUNet" in ran
    return results(home / "build" / "evaluation")


def test_dvc_evaluates_the_released_weights_without_a_training(by_dvc):
    assert set(by_dvc) == {("Rain100L", None), *(("Set11", ratio) for ratio in RATIOS)}
    assert {result["weights"] for result in by_dvc.values()} == {"released"}


def test_the_campaign_makes_the_results_of_dvc(clone, by_dvc):
    home, run = clone
    names = ("--profile", "sample", "--rows", "DGUNet", "--sets", ",".join(SETS))
    run("dgunet", "campaign", *names, "--probe-seconds", "0")
    assert results(home / "build" / "campaigns" / "released-sample") == by_dvc


def test_the_pipeline_makes_the_results_of_dvc(clone, by_dvc):
    home, run = clone
    networks = home / "networks.json"
    entries = [("derain", 0, "Rain13K"), *(("cs", ratio, "BSD400") for ratio in RATIOS)]
    networks.write_text(
        json.dumps(
            [
                {"kind": task, "variant": "DGUNet", "ratio": ratio, "training_set": trained}
                for task, ratio, trained in entries
            ]
        )
    )
    given = (
        "-p",
        "weights=released",
        "-p",
        f"networks=@{networks}",
        "-p",
        "test_sets=Rain100L,Set11",
    )
    run("dgunet", "pipeline", "run", "reproduce", *given)
    (folder,) = (home / "build" / "pipelines").iterdir()
    assert results(folder) == by_dvc
