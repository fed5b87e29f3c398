"""Exact restoration in strips: the result of the whole image within the memory."""

import gc
import os
import random
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from torch import nn

from dgunet.evaluation import within_memory
from dgunet.evaluation.memory import LiveTensors
from dgunet.evaluation.networks import TooLargeError
from dgunet.evaluation.restoration import restore_image
from dgunet.evaluation.strips import restoring, shelf, sums
from dgunet.evaluation.strips.restoring import plan_strips, restore_exactly
from dgunet.evaluation.within_memory import restore_within
from dgunet.network import DGUNet, preset
from dgunet.network.structure import FIELDS
from dgunet.system.errors import EvaluationError

SMALL: dict[str, Any] = {"n_feat": 4, "scale": 2, "last_width": 2, "gradient_width": 2, "stages": 3}
CLOSE = {torch.float64: 1e-10, torch.float32: 1e-4}
CHOICES = {
    name: get_args(kind) if get_origin(kind) is Literal else (True, False)
    for name, kind in FIELDS.items()
    if (get_origin(kind) is Literal or kind is bool) and name != "operator"
}
"""Every switch of the configuration that changes an operation, with its values."""


def network_with(task="derain", **changes) -> DGUNet:
    """A small network with random weights; slopes, gains and step sizes are random too."""
    settings = SMALL | ({"ratio": 10} if task == "cs" else {}) | changes
    network = DGUNet(preset(task, **settings)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.rand_like(parameter) * 0.2)
    return network


def random_case(seed):
    """A network with random switches, and a random size, strip height and bound for the reach."""
    chosen = random.Random(seed)
    task = chosen.choice(["derain", "derain", "derain", "cs"])
    switches = {name: chosen.choice(values) for name, values in CHOICES.items() if name != "task"}
    switches["fusion_scales"] = chosen.randint(1, 3)
    if task == "cs":
        switches["ratio"] = chosen.choice([1, 25])
    torch.manual_seed(seed)
    unit = 32 if task == "cs" else 8
    size = chosen.randint(1, 9 * unit if task == "derain" else 3 * unit), chosen.randint(1, 40)
    return (task, switches), size, unit * chosen.randint(1, 4), chosen.choice([0, 1, 4, 12, 40])


def in_strips(network, y, rows, reach, budget=10**9, observe=None):
    """Restore with given strips instead of chosen ones."""
    shape = (y.shape[2], y.shape[3], y.shape[1])
    plan = plan_strips(network, shape, budget)
    if network.config.proximal_domain == "image":
        plan = restoring.tried(network, shape, rows, budget, plan.folder, reach=reach)[1]
    return restore_exactly(network, y, plan, observe)


@torch.inference_mode()
def at_once(network, y):
    return network(y)[-1]


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_strips_of_any_height_give_the_result_of_the_whole_image(first):
    for seed in range(first, first + 20):
        (task, switches), size, rows, reach = random_case(seed)
        network = network_with(task, **switches)
        for dtype, close in CLOSE.items():
            network.to(dtype)
            y = torch.rand(1, network.config.channels, *size, dtype=dtype)
            whole = at_once(network, y)
            result = in_strips(network, y, rows, reach)
            difference = (result - whole).abs().max().item() / max(1, whole.abs().max().item())
            assert difference < close, (seed, dtype, difference)


def test_the_random_networks_use_every_value_of_every_switch():
    seen = {(name, value) for seed in range(200) for name, value in random_case(seed)[0][1].items()}
    assert seen >= {(n, value) for n, values in CHOICES.items() if n != "task" for value in values}


FAMILY = [
    (task, variant, architecture)
    for task in ("derain", "cs")
    for variant in ("DGUNet", "DGUNet+")
    for architecture in ("released", "paper")
]


def constant(c):
    return torch.full((1, c, 96, 40), 0.7, dtype=torch.float64)


def halves(c):
    """Two halves of different brightness and contrast: the means of strips vary most."""
    bright = torch.rand(1, c, 96, 40, dtype=torch.float64)
    bright[:, :, :48] *= 0.01
    bright[:, :, 48:] = 0.9 + 0.1 * bright[:, :, 48:]
    return bright


@pytest.mark.parametrize("image", [constant, halves])
@pytest.mark.parametrize(("task", "variant", "architecture"), FAMILY)
def test_constant_images_and_images_of_two_halves_are_exact(task, variant, architecture, image):
    torch.manual_seed(0)
    network = network_with(task, variant=variant, architecture=architecture)
    y = image(network.config.channels)
    for dtype, close in CLOSE.items():
        network.to(dtype)
        whole = at_once(network, y.to(dtype))
        result = in_strips(network, y.to(dtype), 32 if task == "cs" else 8, 1)
        assert (result - whole).abs().max() < close


class PooledVariances(sums.Moments):
    """The mistake of other programs: the variances of strips are averaged, their means are not."""

    def _join(self, pixels, mean, squares):
        before, means = self._squares, self._mean
        super()._join(pixels, mean, squares)
        assert means is not None
        self._squares = before + squares


def test_pooled_variances_alone_are_not_exact(monkeypatch):
    network = network_with().double()
    y = halves(3)
    whole = at_once(network, y)
    assert (in_strips(network, y, 8, 1) - whole).abs().max() < 1e-10
    monkeypatch.setattr("dgunet.evaluation.strips.functions.Moments", PooledVariances)
    assert (in_strips(network, y, 8, 1) - whole).abs().max() > 1e-3


TOGETHER = """
import sys, torch, torch.distributed as dist
from test_evaluation_in_strips import at_once, halves, network_with
from dgunet.evaluation.strips import restoring
rank, size = int(sys.argv[1]), 2
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=size)
for architecture in ("released", "paper"):
    torch.manual_seed(0)
    network = network_with(architecture=architecture).double()
    y = torch.cat([halves(3), torch.rand(1, 3, 70, 40, dtype=torch.float64)], 2)
    place = restoring.Path(sys.argv[2]).parent
    plan = restoring.tried(network, (166, 40, 3), 8, 10**6, place, reach=4)[1]
    told, alone = [], []
    result = restoring.restore_exactly(network, y, plan, told.append, dist.group.WORLD)
    difference = (result - at_once(network, y)).abs().max().item()
    assert difference < 1e-10, difference
    restoring.restore_exactly(network, y, plan, alone.append)
    assert len(told) < 0.6 * len(alone), (len(told), len(alone))
dist.destroy_process_group()
"""


def test_two_processes_restore_one_image_as_one_does(tmp_path):
    """Each computes half of the strips; the statistics are those of both halves."""
    folders = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", TOGETHER]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "meet")],
            env=os.environ | {"PYTHONPATH": folders},
        )
        for rank in range(2)
    ]
    assert [process.wait(120) for process in processes] == [0, 0]


@pytest.mark.parametrize("task", ["derain", "cs"])
def test_images_in_files_give_the_same_bits_as_in_memory(task):
    network = network_with(task)
    y = torch.rand(1, network.config.channels, 130, 50)
    shape = (130, 50, network.config.channels)
    roomy = plan_strips(network, shape, 10**9)
    rows = 32 if task == "cs" else 16
    roomy = restoring.tried(network, shape, rows, 10**9, roomy.folder)[1]
    tight = restoring.tried(network, shape, rows, roomy.memory, roomy.folder)[1]
    assert (roomy.disk, tight.disk > 50_000) == (0, True)
    assert torch.equal(restore_exactly(network, y, tight), restore_exactly(network, y, roomy))


@pytest.mark.parametrize("budget", [8 * 10**5, 10**6, 5 * 10**6])
def test_the_tensors_that_live_at_a_time_stay_within_the_budget(budget):
    network = network_with(stages=4)
    shape = (160, 100, 3)
    plan = plan_strips(network, shape, budget)
    assert plan.memory <= budget
    y = torch.rand(1, 3, 160, 100)
    with LiveTensors() as live:
        restore_exactly(network, y, plan)
    assert plan.memory / 4 < live.peak <= budget + y.nbytes
    gc.collect()
    with LiveTensors() as live:
        at_once(network, y)
    assert live.peak > 5 * 10**6


PEAK = """
import re, sys, torch
from pathlib import Path
from dgunet.evaluation.strips.restoring import plan_strips, restore_exactly
from dgunet.network import DGUNet, preset
torch.set_num_threads(1)

def peak():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s*(\\d+)", status)[1]) * 1024

network = DGUNet(preset("derain", n_feat=8, scale=4, last_width=4, gradient_width=8, stages=3))
side = int(sys.argv[1])
y = torch.rand(1, 3, side, side)
with torch.inference_mode():
    network(y[:, :, :32, :32])
before = peak()
if sys.argv[2] == "whole":
    with torch.inference_mode():
        network(y)
else:
    restore_exactly(network, y, plan_strips(network, (side, side, 3), int(sys.argv[2])))
print(peak() - before)
"""


def test_the_resident_memory_of_a_process_stays_near_the_budget():
    def peak(budget):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, "500", budget], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    whole, strips = peak("whole"), peak(str(10_000_000))
    assert whole > 100_000_000
    assert strips < 60_000_000


def test_a_budget_below_the_smallest_strip_is_refused_with_what_is_missing():
    network = network_with()
    with pytest.raises(TooLargeError, match=r"200x300 needs .* strips of 8 rows") as refused:
        plan_strips(network, (300, 200, 3), 100_000)
    plan = plan_strips(network, (300, 200, 3), 100_000 + refused.value.least)
    assert plan.rows == 8
    with pytest.raises(TooLargeError):
        plan_strips(network, (300, 200, 3), 100_000 + refused.value.least - 1)


def test_a_folder_without_space_for_the_parts_is_refused_first(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(restoring.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(EvaluationError, match=r"need .* GB in .*--scratch"):
        plan_strips(network_with(), (300, 200, 3), 3 * 10**6, tmp_path)


class Stops(nn.Module):
    """A network that is interrupted in its last stage."""

    def __init__(self):
        super().__init__()
        self.network = network_with()
        self.error = None

    def forward(self, y):
        images = self.network(y)
        if self.error is not None:
            raise self.error
        return images


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x")])
def test_an_interruption_leaves_no_file(tmp_path, monkeypatch, error):
    names = []
    made = tempfile.TemporaryFile

    def noted(**options):
        file = made(**options)
        names.extend(tmp_path.iterdir())
        return file

    monkeypatch.setattr(shelf.tempfile, "TemporaryFile", noted)
    network = Stops()
    plan = plan_strips(network, (200, 100, 3), 10**6, tmp_path)
    assert plan.disk > 0
    network.error = error
    with pytest.raises(type(error)):
        restore_exactly(network, torch.rand(1, 3, 200, 100), plan)
    assert not names, "a file with a name would stay after SIGKILL"
    assert not list(tmp_path.iterdir())


def test_a_network_with_an_unknown_operation_is_refused_by_its_name():
    class Median(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, y):
            return [y.median(dim=2)]

    with pytest.raises(EvaluationError, match="cannot be run in strips: median"):
        plan_strips(Median(), (100, 100, 3), 10**9)


def test_progress_follows_the_work_up_to_the_end():
    network = network_with()
    told = []
    in_strips(network, torch.rand(1, 3, 100, 30), 8, 1, observe=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 100
    assert max(b - a for a, b in pairwise(told)) < 0.05


def test_an_image_is_restored_whole_if_it_fits_and_else_in_strips(monkeypatch):
    network = network_with()
    image = np.random.default_rng(0).random((96, 40, 3), np.float32)
    whole, none = restore_within(network, image)
    assert none is None
    parts = []
    strips, count = restore_within(network, image, budget=400_000, observe=parts.append)
    assert count is not None and count > 1
    np.testing.assert_allclose(strips, whole, atol=1e-5)
    assert parts[-1] == 1.0
    monkeypatch.setattr(within_memory, "free_bytes", lambda device: 0)
    with pytest.raises(TooLargeError, match="--memory"):
        restore_within(network, image, budget=1000)
    lying = image[:64]  # its strips fit, those of the turned image do not
    restore_within(network, lying, budget=400_000)
    with pytest.raises(TooLargeError, match="64x40 needs"):
        restore_within(network, lying, self_ensemble=True, budget=400_000)


def test_the_self_ensemble_in_strips_is_that_of_whole_images():
    network = network_with()
    image = np.random.default_rng(0).random((64, 40, 3), np.float32)
    whole = restore_image(network, image, self_ensemble=True)
    parts = []
    plan = plan_strips(network, (64, 40, 3), 500_000)
    strips = restore_image(network, image, self_ensemble=True, plan=plan, observe=parts.append)
    np.testing.assert_allclose(strips, whole, atol=1e-5)
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
