"""Train small networks for three steps and restore an image; print a digest of each, as JSON.

Usage: python kernels_digest.py fastest|portable
"""

import hashlib
import json
import sys

import torch
from one_batch import OneBatch

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network import DGUNet, preset
from dgunet.network.kernels import kernels
from dgunet.training.loop import train

CASES = {
    "derain": ("derain", {}, {}, (2, 3, 32, 32)),
    "derain-authors-loss": (
        "derain",
        {"n_feat": 20},
        {"loss": "charbonnier-edge", "clip": 0.1, "average": 0.9, "weight_decay": 1e-4},
        (2, 3, 32, 32),
    ),
    "paper-plus": ("denoise", {"variant": "DGUNet+", "architecture": "paper"}, {}, (2, 3, 32, 32)),
    "cs-block": ("cs", {"ratio": 10, "proximal_domain": "block"}, {}, (16, 1, 32, 32)),
    "cs-image": ("cs", {"ratio": 25}, {}, (2, 1, 64, 64)),
}
"""Task, settings of the network and of the training, shape of a batch."""
SMALL = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 8, "stages": 3}


def digest(*tensors):
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]


def trained(choice, task, structure, training, shape):
    """The digest of the weights after three steps, and of an image restored with them."""
    runtime = RuntimeSettings(device="cpu", threads=1, kernels=choice)
    settings = TrainingSettings(
        **{"iterations": 3, "batch": shape[0], "patch": shape[-1], "learning_rate": 1e-3}
        | {"warmup": 0}
        | training
    )
    with kernels(choice):
        torch.manual_seed(1)
        network = DGUNet(preset(task, **{**SMALL, **structure}))
        clean = torch.rand(shape)
        degraded = clean if task == "cs" else (clean + 0.1 * torch.randn(shape)).clamp(0, 1)
        train(network, OneBatch(degraded, clean), settings, runtime)
        with torch.inference_mode():
            image = network.eval()(torch.rand(1, shape[1], 40, 72))[-1]
        return digest(*network.parameters()), digest(image)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({name: trained(sys.argv[1], *case) for name, case in CASES.items()}))
