"""Keys of one shared parameter that have unequal values: resolved as torch resolves them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from network_tiny import tiny
from torch import nn

from dgunet.network import DGUNet
from dgunet.network.official import import_official, official_keys


def torch_twin(network: DGUNet) -> nn.Module:
    """A plain module with the authors' keys that shares the modules that the authors' shares."""
    root = nn.Module()
    shared: dict[int, nn.Module] = {}
    ours = network.state_dict(keep_vars=True)
    for key, name in official_keys(network.config):
        *path, leaf = key.split(".")
        module = root
        for part in path[:-1]:
            if not hasattr(module, part):
                module.add_module(part, nn.Module())
            module = getattr(module, part)
        if path:
            if not hasattr(module, path[-1]):
                made = shared.setdefault(id(ours[name]), nn.Module())
                module.add_module(path[-1], made)
            module = getattr(module, path[-1])
        if not hasattr(module, leaf):
            module.register_parameter(leaf, nn.Parameter(ours[name].detach().clone()))
    return root


@pytest.mark.parametrize(("task", "variant"), [("derain", "DGUNet"), ("cs", "DGUNet+")])
def test_unequal_values_are_resolved_as_by_torch_in_any_order_of_the_file(
    task: str, variant: str, tmp_path: Path
) -> None:
    network = tiny(task, variant, stages=7)
    twin = torch_twin(network)
    names = dict(official_keys(network.config))
    keys = list(names)
    shapes = {key: tensor.shape for key, tensor in twin.state_dict().items()}
    assert list(shapes) == keys, "torch loads in this order"
    assert len(list(twin.parameters())) < len(keys), "some keys share a parameter"
    draw = torch.Generator().manual_seed(1)
    shuffled = [keys[i] for i in torch.randperm(len(keys), generator=draw)]
    for order in (keys, keys[::-1], shuffled):
        state = {key: torch.rand(shapes[key], generator=draw) for key in order}
        twin.load_state_dict(state)
        torch.save(state, tmp_path / "n.pth")
        imported, _ = import_official(tmp_path / "n.pth", config=network.config)
        expected, ours = twin.state_dict(), imported.state_dict()
        different = [k for k, name in names.items() if not torch.equal(ours[name], expected[k])]
        assert not different
