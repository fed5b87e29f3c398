"""The golden recipe: weights and inputs made from names alone, and the cases it was run on.

Recipe: for every key of the authors' state dict, in its order, ``N = RandomState(crc32(c))
.standard_normal(shape)`` with ``c`` the key, or the lexicographically smallest key among those
sharing its parameter; convolutions 0.7 N / sqrt(fan), Phi N / sqrt(columns), biases 0.05 N, norm
scales 1 + 0.1 N, PReLU slopes 0.25 + 0.05 N, step sizes 0.5 + 0.1 N; cast to float32. Inputs are
``RandomState(crc32("input:" + tag)).random_sample(shape)``, tag ``<variant>:<case>``.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgunet.files import write_json
from dgunet.network import DGUNet, DGUNetConfig, preset
from dgunet.network.official import official_keys

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
    """The authors' keys that share one parameter."""
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


COMMITTED = Path(__file__).with_name("golden_values.json")
POSITIONS = 12
"""Evenly spaced entries kept of every flattened stage image."""


def committed_case(name: str) -> tuple[int, int, int, int]:
    """The case of a variant that the committed file holds."""
    return min(cases(name), key=lambda shape: shape[2] * shape[3])


def sampled(image: np.ndarray) -> np.ndarray:
    """The entries of a stage image that the committed file keeps."""
    flat = image.reshape(-1)
    return flat[np.linspace(0, flat.size - 1, POSITIONS).astype(int)]


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
    provenance = (
        "Written by tests/network/network_golden.py from the recipe in its docstring, in float64, "
        "stages first to last, with the network of this repository after it had agreed with every "
        "golden vector of the released code (revision bae845c) to 1e-10."
    )
    write_json(COMMITTED, {"provenance": provenance, "variants": variants})


if __name__ == "__main__":
    main()
