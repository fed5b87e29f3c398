"""A stand-in of the internet: the real sets as git trees, and networks in the authors' format.

The networks have the published structure and size, and random weights from a fixed seed: what they
restore is no image, but every step from the archive to the cell is that of the authors' weights.
"""

import io
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import torch

from dgunet.data.sources.entries import git_files, sources
from dgunet.network import DGUNet, preset
from dgunet.network.official import export_official

RGB, CS = "1bitvtmJAE1iKpFmdGx3OrN6Xti0JRPLc", "1euV8SnXHuYswwbm9FaV1y5RQRLd58ou_"
"""Identifiers of the authors' two archives on Google Drive."""

FOLDERS = {"derain": "Deraining", "deblur": "Deblurring", "denoise": "Denoising"}
FILES = {"DGUNet": "DGUNet.pth", "DGUNet+": "DGUNet_plus.pth"}
SENSING = "CS_DGUNet_P32_s7_v7_hi3_u4_{}lm2_learn_BSD_DIV2K_fine_layerICNN_15_layerIFC_5_group_1"

SETS = {
    "ista-net-set11": {"": "Set11"},
    "dncnn-bsd68": {"": "BSD68"},
    "dncnn-train400": {"": "BSD400"},
    "rain2avoid-rain100l": {"input": "Rain100L/input", "target": "Rain100L/target"},
    "mspfn-rain100h": {"input": "Rain100H/input", "target": "Rain100L/target"},
}
"""Folders of the benchmark images by place and folder of the dataset."""


def checkpoint(folder, task, variant="DGUNet", ratio=None):
    """A network of random weights in the authors' format, as bytes."""
    torch.manual_seed(20220618)
    network = DGUNet(preset(task, variant, ratio=ratio))
    path = Path(folder) / f"{task}{variant}{ratio}.pth"
    export_official(network, path)
    content = path.read_bytes()
    path.unlink()
    return content


def rgb_archive(folder, *networks):
    """The authors' archive for deraining, deblurring and denoising, with these networks."""
    return _packed(
        {
            f"DGUNet/{FOLDERS[task]}/pretrained_models/{FILES[variant]}": checkpoint(
                folder, task, variant
            )
            for task, variant in networks
        }
    )


def cs_archive(folder, *ratios):
    """The authors' archive for compressive sensing, with DGUNet at these ratios."""
    return _packed(
        {
            f"model/{SENSING.format('rp_')}_ratio_{ratio}/net_best.pkl": checkpoint(
                folder, "cs", ratio=ratio
            )
            for ratio in ratios
        }
    )


def serve_git_trees(net, benchmarks):
    """Serve the real sets file by file, under the addresses of their git trees."""
    for place in sources().places.values():
        for one in git_files(place) if place.kind == "git-tree" else ():
            folder, _, name = one.path.rpartition("/")
            tree = next(tree for tree in place.trees if tree.into == folder)
            path = benchmarks / SETS[place.name][folder] / name
            net.web[urlsplit(tree.url(net.services(), name)).path] = path.read_bytes()


def _packed(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as handle:
        for name, content in members.items():
            handle.writestr(name, content)
    return buffer.getvalue()
