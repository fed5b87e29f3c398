"""Compiled pipelines in containers without a network give the numbers of local processes.

The runner of kfp has reported failed containers as successful. The numbers are therefore compared,
cell by cell, with those of the same pipeline whose steps are processes.
"""

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from dgunet import network
from dgunet.system import files

pytestmark = pytest.mark.timeout(3000)

NUMBERS = ["value", "data_digest", "checkpoint_sha256", "per_image_sha256", "protocol_version"]
NETWORKS = [
    {"kind": "derain", "variant": "DGUNet", "ratio": 0, "training_set": "Rain13K"},
    {"kind": "cs", "variant": "DGUNet", "ratio": 50, "training_set": "BSD400"},
]
SETS = ["Rain100L", "Test100", "Set11"]
ABLATIONS = ["stages-3"]


class Home:
    """A project folder with the code of the checkout, in which `dgunet pipeline run` runs."""

    def __init__(self, folder, project):
        self.folder = folder
        for name in ("pipelines", "components", "params.yaml", "data.dvc", "records"):
            (folder / name).symlink_to(project / name)
        outside = {"PYTHONPATH": str(project), "DGUNET_HOME": str(folder), "OMP_NUM_THREADS": "1"}
        self._env = os.environ | outside | {"DGUNET_TRACKING": "off"}

    def attempt(self, name, *options, **arguments):
        """Run a pipeline; return the finished process."""
        asked = [part for key, value in arguments.items() for part in ("-p", f"{key}={value}")]
        return subprocess.run(
            ["dgunet", "pipeline", "run", name, *options, *asked],
            cwd=self.folder, env=self._env, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def cells(self, name, *options, **arguments):
        """Run a pipeline, which must succeed; return the cells that it filled, sorted by index."""
        done = self.attempt(name, *options, **arguments)
        assert not done.returncode, done.stdout + done.stderr
        print(done.stdout)
        (tables,) = [line.split()[1] for line in done.stdout.splitlines() if line[:6] == "tables"]
        every = pd.read_parquet(Path(tables) / "cells.parquet")
        filled = every[every["state"] == "sample"]
        return filled.set_index(["table", "row", "column", "metric"])[NUMBERS].sort_index()


@pytest.fixture
def home(engine, project, tmp_path):
    return Home(tmp_path, project)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    small = network.preset("derain", n_feat=8, scale=4, stages=3)
    network.save_network(network.DGUNet(small), path, {})
    return path


def test_reproduce_gives_the_same_numbers_in_containers_and_processes(home, sample_root):
    asked = {
        "networks": json.dumps(NETWORKS),
        "test_sets": ",".join(SETS),
        "ablations": ",".join(ABLATIONS),
        "data_source": sample_root,
        "data_version": "the sample",
    }
    ours = home.cells("reproduce", "--docker", **asked)
    assert len(ours) == 2 * len(SETS) + len(ABLATIONS)  # Table 5 has no SSIM
    assert ours.notna().all(axis=None)
    pd.testing.assert_frame_equal(ours, home.cells("reproduce", **asked), check_exact=True)


def test_a_container_gets_a_dataset_from_dvc_at_a_commit(home, project, tmp_path, weights):
    """The data are only in git and the DVC remote; the image has no git program."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(project), str(clone)], check=True)
    head = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    asked = {
        "weights": weights,
        "test_sets": "Rain100L",
        "data_source": f"file://{clone}",
        "data_version": commit,
    }
    ours = home.cells("evaluate_checkpoint", "--docker", **asked)
    assert len(ours) == 2
    here = home.cells("evaluate_checkpoint", **asked)
    pd.testing.assert_frame_equal(ours, here, check_exact=True)


def test_a_step_failing_in_its_container_fails_the_run(home, sample_root, weights):
    digest = files.sha256_file(weights)
    other = ("1" if digest[0] == "0" else "0") + digest[1:]
    asked = {"weights": weights, "weights_sha256": other, "test_sets": "Rain100L"}
    asked |= {"data_source": sample_root, "data_version": "the sample"}
    done = home.attempt("evaluate_checkpoint", "--docker", **asked)
    assert done.returncode
    assert f"has the SHA-256 {digest}, not {other}" in done.stderr
    left = {path.name for path in (home.folder / "build" / "pipelines").rglob("*")}
    assert not left & {"cells.parquet", "summary.json", "network.safetensors"}
