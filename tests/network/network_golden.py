"""The golden recipe: weights and inputs derived from names, and the cases with golden values.

Recipe: for every key of the authors' state dict, in its order, ``N = RandomState(crc32(c))
.standard_normal(shape)`` with ``c`` the key, or the lexicographically smallest key among those
sharing its parameter; convolutions 0.7 N / sqrt(fan), Phi N / sqrt(columns), biases 0.05 N, norm
scales 1 + 0.1 N, PReLU slopes 0.25 + 0.05 N, step sizes 0.5 + 0.1 N; cast to float32. Inputs are
``RandomState(crc32("input:" + tag)).random_sample(shape)``, tag ``<variant>:<case>``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dgunet.network import DGUNet, DGUNetConfig, preset
from dgunet.network.official import official_keys
from dgunet.system.files import sha256_json, write_json

RGB = {
    f"{task}_dgunet{suffix}": preset(task, variant)
    for task in ("derain", "deblur", "denoise")
    for suffix, variant in (("", "DGUNet"), ("_plus", "DGUNet+"))
}
SENSING = {
    f"cs_dgunet{suffix}{step}_r{ratio}": preset("cs", variant, ratio=ratio, proximal_domain=domain)
    for suffix, variant in (("", "DGUNet"), ("_plus", "DGUNet+"))
    for step, domain in (("", "block"), ("_deblock", "image"))
    for ratio in (1, 4, 10, 25, 50)
}
VARIANTS: dict[str, DGUNetConfig] = RGB | SENSING


def cases(name: str) -> list[tuple[int, int, int, int]]:
    """The golden input shapes of a variant."""
    if name.startswith("cs"):
        return [(2, 1, 32, 32), (1, 1, 64, 96)] if "deblock" in name else [(3, 1, 32, 32)]
    extra = [(1, 3, 40, 40)] if name.startswith("derain") else []
    return [(1, 3, 32, 48), (2, 3, 16, 24), *extra]


def alias_groups(network: DGUNet) -> list[list[str]]:
    """Groups of official keys that share one parameter."""
    state = network.state_dict(keep_vars=True)
    groups: dict[int, list[str]] = {}
    for theirs, ours in official_keys(network.config):
        groups.setdefault(id(state[ours]), []).append(theirs)
    return [group for group in groups.values() if len(group) > 1]


def fill_value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 value of the recipe for one canonical key."""
    n = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(size=shape)
    if len(shape) == 4:
        value = n * (0.7 / np.sqrt(shape[1] * shape[2] * shape[3]))
    elif len(shape) == 2:
        value = n / np.sqrt(shape[1])
    elif key.endswith(".bias"):
        value = 0.05 * n
    elif key.endswith(".weight"):
        value = 0.25 + 0.05 * n if shape == (1,) else 1 + 0.1 * n
    else:
        value = 0.5 + 0.1 * n
    return value.astype(np.float32)


def golden_state(config: DGUNetConfig) -> dict[str, Tensor]:
    """The recipe's weights under the authors' keys, in their order."""
    with torch.device("meta"):
        network = DGUNet(config)
    state = network.state_dict()
    canonical = {key: min(group) for group in alias_groups(network) for key in group}
    return {
        theirs: torch.from_numpy(
            fill_value(canonical.get(theirs, theirs), tuple(state[ours].shape))
        )
        for theirs, ours in official_keys(config)
    }


def golden_input(tag: str, shape: tuple[int, ...]) -> Tensor:
    """The recipe's input for ``tag``, float32 in [0, 1)."""
    rng = np.random.RandomState(zlib.crc32(f"input:{tag}".encode()))
    return torch.from_numpy(rng.random_sample(shape).astype(np.float32))


def golden_network(name: str) -> DGUNet:
    """The float32 network of a variant with the recipe's weights, by the authors' keys."""
    network = DGUNet(VARIANTS[name])
    state = network.state_dict(keep_vars=True)
    values = golden_state(VARIANTS[name])
    with torch.no_grad():
        for theirs, ours in official_keys(network.config):
            state[ours].copy_(values[theirs])
    return network.eval()


HERE = Path(__file__).parent
COMMITTED = HERE / "golden_values.json"
MANIFESTS = HERE / "golden_manifests.json"
TRAINING = HERE / "golden_training.json"

POSITIONS = 12
"""Evenly spaced entries kept of every flattened stage image."""


def committed_case(name: str) -> tuple[int, int, int, int]:
    """The case of a variant that the committed file holds."""
    return min(cases(name), key=lambda shape: shape[2] * shape[3])


def sampled(image: np.ndarray) -> np.ndarray:
    """The entries of a stage image that the committed file keeps."""
    flat = image.reshape(-1)
    return flat[np.linspace(0, flat.size - 1, POSITIONS).astype(int)]


def manifest(name: str) -> dict[str, Any]:
    """Counts of the official state dict of a variant, and digests of its long lists."""
    with torch.device("meta"):
        network = DGUNet(VARIANTS[name])
    state = network.state_dict(keep_vars=True)
    keys = official_keys(network.config)
    entries = [[theirs, list(state[ours].shape)] for theirs, ours in keys]
    unused = sorted(theirs for theirs, ours in keys if not state[ours].requires_grad)
    return summary(network.parameters(), entries, alias_groups(network), unused)


def summary(
    parameters: Iterable[Tensor], entries: list[Any], aliases: list[list[str]], unused: list[str]
) -> dict[str, Any]:
    """The committed form of a manifest; digests are SHA-256 of canonical JSON."""
    sizes = [parameter.numel() for parameter in parameters]
    return {
        "parameters": sum(sizes),
        "tensors": len(sizes),
        "keys": len(entries),
        "keys_and_shapes_sha256": sha256_json(entries),
        "aliases_sha256": sha256_json(sorted(map(sorted, aliases))),
        "unused_sha256": sha256_json(sorted(unused)),
    }


def charbonnier(a: Tensor, b: Tensor) -> Tensor:
    """Mean Charbonnier distance, epsilon 1e-3."""
    return ((a - b) ** 2 + 1e-6).sqrt().mean()


def laplacian(z: Tensor) -> Tensor:
    """The edge image of the authors' edge loss."""
    taps = torch.tensor([0.05, 0.25, 0.4, 0.25, 0.05], dtype=z.dtype)
    kernel = torch.outer(taps, taps).expand(z.shape[1], 1, 5, 5)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(F.pad(image, (2,) * 4, mode="replicate"), kernel, groups=z.shape[1])

    even = torch.zeros_like(z)
    even[:, :, ::2, ::2] = 4 * blur(z)[:, :, ::2, ::2]
    return z - blur(even)


LOSSES = {
    "derain_deblur": lambda x, t: (
        charbonnier(x, t) + 0.05 * charbonnier(laplacian(x), laplacian(t))
    ),
    "denoise": lambda x, t: charbonnier(x.clamp(0, 1), t),
    "cs_mod1": lambda x, t: ((x.clamp(0, 1) - t) ** 2).mean(),
}
TRAINED = {
    "derain_dgunet": "derain_deblur",
    "derain_dgunet_plus": "derain_deblur",
    "denoise_dgunet": "denoise",
    "cs_dgunet_r10": "cs_mod1",
    "cs_dgunet_deblock_r10": "cs_mod1",
    "cs_dgunet_plus_r10": "cs_mod1",
}
"""The variants whose training has golden values, and the loss of each."""


def training(name: str, shape: tuple[int, ...], settings: dict[str, Any], steps: int) -> Any:
    """Losses before ``steps`` steps of Adam in float64, gradients before the first, weights after.

    Args:
        settings: lr, betas, eps and weight_decay of Adam.
        steps: losses to take; one step fewer is made.
    """
    network = golden_network(name).double().train()
    x = golden_input(f"{name}:train:x", shape).double()
    known = network.operator is not None
    t = x if known else golden_input(f"{name}:train:t", shape).double()
    wanted = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(
        wanted,
        lr=settings["lr"],
        betas=tuple(settings["betas"]),
        eps=settings["eps"],
        weight_decay=settings["weight_decay"],
    )
    state = network.state_dict(keep_vars=True)
    losses: list[float] = []
    norms: dict[str, float | None] = {}
    for step in range(steps):
        optimiser.zero_grad()
        loss = torch.stack([LOSSES[TRAINED[name]](output, t) for output in network(x)]).sum()
        losses.append(loss.item())
        if step == steps - 1:
            break
        loss.backward()
        if step == 0:
            gradients = (
                (theirs, state[ours].grad) for theirs, ours in official_keys(network.config)
            )
            norms = {theirs: None if g is None else g.norm().item() for theirs, g in gradients}
        optimiser.step()
    total = sum(p.detach().square().sum().item() for p in network.parameters()) ** 0.5
    return {"losses": losses, "gradients": norms, "norm": total}


SHORT = {"derain_dgunet": (1, 3, 16, 24), "cs_dgunet_r10": (2, 1, 32, 32)}
"""Input shapes of the committed trainings, which are smaller than those of the reference."""
ADAM = {"lr": 2e-4, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
_WRITTEN = (
    "Written by tests/network/network_golden.py from the recipe in its docstring, in float64, "
    "with the network of this repository after it had agreed with every golden {what} of the "
    "released code (revision bae845c){how}."
)


def main() -> None:
    """Write the committed golden values: float64 runs of this project's network."""
    variants = {}
    for name in VARIANTS:
        shape = committed_case(name)
        case = "x".join(map(str, shape))
        with torch.no_grad():
            outputs = golden_network(name).double()(golden_input(f"{name}:{case}", shape).double())
        variants[name] = {
            "shape": list(shape),
            "stages": [
                {
                    "mean": float(o.mean()),
                    "std": float(o.std(correction=0)),
                    "values": [float(v) for v in sampled(o.numpy())],
                }
                for o in outputs
            ],
        }
        print(name)
    values = _WRITTEN.format(what="vector", detail=" to 1e-10; stages first to last")
    write_json(COMMITTED, {"provenance": values, "variants": variants})
    counted = _WRITTEN.format(what="manifest", detail=", key for key")
    write_json(MANIFESTS, {"provenance": counted, "variants": {n: manifest(n) for n in VARIANTS}})
    steps = {name: training(name, shape, ADAM, 2) for name, shape in SHORT.items()}
    trained = _WRITTEN.format(what="training", detail=" to 1e-8")
    write_json(TRAINING, {"provenance": trained, "variants": steps})


if __name__ == "__main__":
    main()
