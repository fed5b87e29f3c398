"""Two processes follow the same trajectory as one, also after resuming."""

import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from safetensors.torch import load_file
from training_small import CPU, Noise, TwoStages, settings

from dgunet.network import DGUNet, preset
from dgunet.system.errors import ConfigError
from dgunet.training import World, train
from dgunet.training.checkpoints import read_checkpoint

TINY = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 4}


def torchrun(small, out, processes=2, **env):
    """Start the training under ``torchrun``."""
    whole = small.command(out)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    script = small.home / "train.py"
    script.write_text("from dgunet.cli import main\nmain()\n")
    return subprocess.Popen(
        [sys.executable, *launcher, str(script), *whole[3:]],
        cwd=small.home,
        env=small.env | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_one(process):
    """Send SIGKILL to one of the two processes, chosen at random."""
    wanted = random.SystemRandom().choice("01")
    for one in psutil.Process(process.pid).children(recursive=True):
        if one.environ().get("RANK") == wanted:
            one.send_signal(signal.SIGKILL)
            return
    raise AssertionError("no such process")


def weights(out):
    return load_file(out / "network.safetensors")


def same_within_rounding(a, b):
    """Assert that loss curves agree to 1e-4 and weights to 1e-3 (a third of the largest step).

    The portable kernels add in another order for one, two and three samples; up to 1.2e-5 in the
    loss and 4.4e-4 in four of 3,600 weights are the differences after eight steps.

    Biases before an instance normalisation are excluded: the normalisation cancels them, so their
    true gradient is zero, and Adam turns its rounding errors into full steps.
    """
    np.testing.assert_allclose(
        *(pd.read_csv(out / "loss.csv") for out in (a, b)), rtol=1e-4, atol=0
    )
    ours, theirs = weights(a), weights(b)
    for key in ours:
        if not re.search(r"encoder\.blocks\.\d\.first\.bias", key):
            torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=1e-3)


def test_two_processes_match_one_and_resume_bit_for_bit(small):
    small.write_params(steps=8, batch=3)
    one, two, killed = (small.home / name for name in ("one", "two", "killed"))
    small.train(one)
    process = torchrun(small, two)
    output = process.communicate(timeout=300)[1]
    assert process.returncode == 0, output
    assert sorted(p.name for p in two.iterdir()) == [
        "loss.csv",
        "network.safetensors",
        "training.json",
    ]
    same_within_rounding(one, two)

    for stop, step, words in (
        (kill_one, 2, "lost its connection to the others at step"),
        (subprocess.Popen.terminate, 5, "the same command resumes"),  # torchrun passes it on
    ):
        process = torchrun(small, killed)
        while not any(p.stem >= f"step-{step:09d}" for p in small.checkpoints()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        stop(process)
        output = process.communicate(timeout=120)[1]
        assert process.returncode != 0
        assert words in output
        assert not killed.exists()
        assert len(read_checkpoint(small.checkpoints()[-1])["rng"]) == 2, "of both processes"
    process = torchrun(small, killed)
    output = process.communicate(timeout=300)[1]
    assert process.returncode == 0, output
    assert "resuming from step" in output
    assert (killed / "loss.csv").read_bytes() == (two / "loss.csv").read_bytes()
    assert all(torch.equal(t, weights(killed)[k]) for k, t in weights(two).items())


def test_processes_train_with_what_the_leading_one_has_decided(small, tmp_path, monkeypatch):
    path = small.write_params(steps=4)
    text = path.read_text().replace("warmup: 3}", "warmup: 3, fast: true}")
    path.write_text(text.replace("kernels: portable", "kernels: fastest"))
    process = torchrun(small, small.home / "two", DGUNET_CACHE=str(tmp_path / "cache"))
    output = process.communicate(timeout=300)[1]
    assert process.returncode == 0, output
    assert output.count("derain-DGUNet: fast is ") == 1
    monkeypatch.setenv("DGUNET_CACHE", str(tmp_path / "cache"))
    small.train(small.home / "one")
    same_within_rounding(small.home / "one", small.home / "two")


@pytest.mark.parametrize("variant", ["DGUNet", "DGUNet+"])
@pytest.mark.parametrize("task", ["derain", "cs"])
@pytest.mark.parametrize("architecture", ["released", "paper"])
def test_every_trainable_parameter_gets_a_gradient(task, variant, architecture):
    """So that DDP need not search for unused parameters."""
    ratio = 10 if task == "cs" else None
    config = preset(task, variant, architecture=architecture, ratio=ratio, **TINY)
    network = DGUNet(config)
    sum(out.mean() for out in network(torch.rand(1, config.channels, 32, 32))).backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("batch", [2, 5, 16])
@pytest.mark.parametrize("size", [1, 2])
def test_shares_cover_a_batch_once(batch, size):
    shares = [list(World(rank, size).positions(batch)) for rank in range(size)]
    assert [position for share in shares for position in share] == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_samples_are_refused():
    with pytest.raises(ConfigError, match="a batch of 2 cannot be shared by 3"):
        World(0, 3).positions(2)


@pytest.mark.parametrize("micro_batch", [1, 2, 5])
def test_micro_batches_match_the_whole_batch(micro_batch):
    def run(size):
        network = TwoStages()
        chosen = settings(iterations=20, warmup=2, batch=5, micro_batch=size)
        result = train(network, Noise(batch=5), chosen, CPU)
        return network.first.weight, [r.loss for r in result.reports]

    (whole, expected), (parts, losses) = run(0), run(micro_batch)
    assert losses == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
