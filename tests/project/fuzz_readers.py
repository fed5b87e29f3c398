"""All readers of files, with valid files for each.

A target is a folder of valid files and a function that reads them. The tests damage one of the
target's files, read it and restore it.
"""

import shutil

import numpy as np
import torch
from fuzz_image_readers import archives, images, scored, scored_blocks, stored, tree_of
from fuzz_result_readers import (
    cells,
    index_of_runs,
    journals,
    overlaps,
    records_of_pipelines,
    results,
    rows,
    server_scores,
)
from fuzz_target import ROOT, Target


def params(folder, sample):
    from dgunet.config import load_params

    shutil.copy(ROOT / "params.yaml", folder)
    return Target(folder, ["params.yaml"], lambda f: load_params(f / "params.yaml"))


def cluster(folder, sample):
    from dgunet.kubeflow.cluster.settings import load_cluster

    shutil.copy(ROOT / "pipelines/cluster.yaml", folder)
    return Target(folder, ["cluster.yaml"], lambda f: load_cluster(f / "cluster.yaml"))


def weights(folder, sample):
    from dgunet.network import load_network, save_network

    save_network(_tiny(), folder / "n.safetensors", {"a": "b"})
    return Target(folder, ["n.safetensors"], lambda f: load_network(f / "n.safetensors"))


def authors_weights(folder, sample):
    from dgunet.network import DGUNet, preset
    from dgunet.network.official import export_official, import_official

    torch.manual_seed(0)
    widths = {"n_feat": 4, "scale": 2, "last_width": 2, "gradient_width": 2}
    network = DGUNet(preset("derain", "DGUNet", **widths))
    export_official(network, folder / "n.pth")

    def read(f):
        return import_official(f / "n.pth", config=network.config)

    return Target(folder, ["n.pth"], read)


def training_checkpoint(folder, sample):
    from dgunet.training.checkpoints import Checkpoints

    made = Checkpoints(folder, {"seed": "1"}, seconds=0)
    for step in (1, 2):
        made.save({"step": step, "weights": {"a": torch.zeros(9)}})
    made.wait()

    def read(f):
        return Checkpoints(f, {"seed": "1"}, seconds=0).newest()

    return Target(folder, ["step-000000002.ckpt"], read)


def checkpoint_hashed_again(folder, sample):
    """Checkpoints with a changed content whose hash is correct."""
    from dgunet.system.files import sha256_bytes
    from dgunet.training.checkpoints import MAGIC, Checkpoints

    target = training_checkpoint(folder, sample)
    path = folder / target.files[0]
    (folder / "payload").write_bytes(path.read_bytes().partition(b"\n")[2])

    def read(f):
        payload = (f / "payload").read_bytes()
        path.write_bytes(MAGIC + sha256_bytes(payload).encode() + b"\n" + payload)
        Checkpoints(f, {"seed": "1"}, seconds=0).newest()

    return Target(folder, ["payload"], read)


def measurements(folder, sample):
    from network_tiny import tiny

    from dgunet.tools.compressive_sensing import read_measurements

    network = tiny("cs")
    np.save(folder / "y.npy", np.zeros((network.config.measurements, 2, 3), np.float32))
    return Target(folder, ["y.npy"], lambda f: read_measurements(f / "y.npy", network))


def _tiny():
    from network_tiny import tiny

    return tiny()


TARGETS = {
    "params.yaml": params,
    "cluster.yaml": cluster,
    "records of pipelines": records_of_pipelines,
    "weights": weights,
    "the authors' weights": authors_weights,
    "training checkpoints": training_checkpoint,
    "training checkpoints, hashed again": checkpoint_hashed_again,
    "measurements": measurements,
    "scored folders": scored,
    "scored blocks of SIDD": scored_blocks,
    "list of RealBlur": tree_of("RealBlur-J", "list.txt"),
    "images of a dataset": tree_of("Rain100L", "1.png"),
    "blocks of SIDD": tree_of("SIDD"),
    "DND": tree_of("DND"),
    "images": images,
    "archives": archives,
    "raw store": stored("raw"),
    "compact store": stored("compact"),
    "results": results,
    "cells of tables": cells,
    "rows of a killed evaluation": rows,
    "journals": journals,
    "index of runs": index_of_runs,
    "overlaps": overlaps,
    "scores of DND's server": server_scores,
}
