"""Scores of tensor batches equal those of arrays, on every available device."""

import numpy as np
import pytest
import torch
from evaluation_stand_ins import pair

from dgunet.evaluation.batched import score_batch
from dgunet.evaluation.protocols import protocol
from dgunet.system.errors import EvaluationError

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def batch(name, count=3, **size):
    channels = protocol(name).channels
    rng = np.random.default_rng(0)
    restored, targets = [], []
    for seed in range(count):
        noisy, target = pair(seed, channels=channels, **size)
        restored.append((noisy / 255 + rng.uniform(-0.01, 0.01, noisy.shape)).astype(np.float32))
        targets.append(target)
    return [np.stack(images) for images in (restored, targets)]


def tensors(images, device):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["rain-y", "gopro-rgb", "sidd-blocks", "cs-y"])
def test_batched_scores_equal_single_scores(name, device):
    rules = protocol(name)
    restored, targets = batch(name, height=37, width=52)
    psnr, ssim = score_batch(tensors(restored, device), tensors(targets, device), rules)
    for index, (image, target) in enumerate(zip(restored, targets, strict=True)):
        score = rules.score(rules.quantise(image), target)
        assert psnr[index].item() == pytest.approx(score.psnr, rel=0, abs=1e-9)
        assert ssim[index].item() == pytest.approx(score.ssim, rel=0, abs=1e-9)


@pytest.mark.parametrize(("name", "expected"), [("gopro-rgb", np.inf), ("cs-y", 100.0)])
def test_identical_batches_score_as_in_the_original_code(name, expected):
    _, targets = batch(name)
    psnr, ssim = score_batch(
        tensors(targets.astype(np.float64) / 255, "cpu"), tensors(targets, "cpu"), protocol(name)
    )
    assert psnr.tolist() == [expected] * 3
    assert ssim.tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("rain-y", lambda x, y: (x[..., 1:], y), "the same shape"),
        ("rain-y", lambda x, y: (x, y.float()), "uint8"),
        ("rain-y", lambda x, y: (x[:, :1], y[:, :1]), "3 channels"),
        ("rain-y", lambda x, y: (x[..., :9], y[..., :9]), "sides of 11"),
        ("rain-y", lambda x, y: (x * float("nan"), y), "NaN"),
        ("realblur-aligned", lambda x, y: (x, y), "one by one"),
        ("dnd-server", lambda x, y: (x, y), "one by one"),
    ],
)
def test_invalid_batches_are_refused(name, damage, message):
    restored, targets = batch("rain-y")
    with pytest.raises(EvaluationError, match=message):
        score_batch(*damage(tensors(restored, "cpu"), tensors(targets, "cpu")), protocol(name))
