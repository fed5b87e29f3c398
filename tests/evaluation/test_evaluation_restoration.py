"""Restoration of whole images and of blocks, the eightfold ensemble, and memory limits."""

import json

import numpy as np
import pytest
import torch
from evaluation_stand_ins import pair
from torch import nn

from dgunet.evaluation import memory
from dgunet.evaluation.networks import TooLargeError
from dgunet.evaluation.restoration import (
    eightfold,
    identity,
    in_blocks,
    pad_to_blocks,
    restore_image,
    to_tensor,
    transform,
    untransform,
)
from dgunet.system.errors import EvaluationError


@pytest.mark.parametrize("mode", range(8))
def test_every_transformation_is_inverted(mode):
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(untransform(transform(image, mode), mode), image)


def test_the_eight_modes_are_the_symmetries_of_the_square():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert len({tuple(transform(image, mode).flatten().tolist()) for mode in range(8)}) == 8


def test_transformations_match_the_recorded_table(golden):
    table = json.loads((golden / "augment.json").read_text())
    image = torch.tensor(table["x8_input"])[None, None]
    for mode in range(8):
        recorded = torch.tensor(table["x8_forward_by_mode"][str(mode)])
        assert torch.equal(transform(image, mode)[0, 0], recorded)
        back = transform(recorded[None, None], table["x8_inverse_mode"][str(mode)])
        assert torch.equal(untransform(recorded[None, None], mode), back)


def test_the_ensemble_is_the_mean_over_the_eight_symmetries():
    image = torch.rand(1, 3, 6, 10, dtype=torch.float64)

    def lopsided(y):
        rows = torch.linspace(0.5, 1, y.shape[-2], dtype=y.dtype)[:, None]
        return y * rows

    expected = torch.stack(
        [untransform(lopsided(transform(image, mode)), mode) for mode in range(8)]
    ).mean(0)
    torch.testing.assert_close(eightfold(lopsided, image), expected, rtol=0, atol=1e-15)
    assert not torch.allclose(expected, lopsided(image))
    torch.testing.assert_close(eightfold(lambda y: y, image), image, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("size", "padded"), [((60, 100), (64, 128)), ((64, 64), (128, 128)), ((1, 63), (64, 64))]
)
def test_blocks_are_zero_padded_and_divisible_sides_by_a_whole_block(size, padded):
    image = torch.ones(1, 1, *size)
    grown = pad_to_blocks(image, 64)
    assert grown.shape[-2:] == padded
    assert grown.sum() == image.sum()


def test_blocks_are_restored_separately_in_row_order():
    image = torch.rand(1, 1, 60, 100)
    seen = []

    def centred(tiles):
        seen.append(tiles)
        return tiles - tiles.mean((-2, -1), keepdim=True)

    result = in_blocks(centred, image, 32)
    padded = pad_to_blocks(image, 32)
    assert torch.equal(torch.cat(seen)[5, 0], padded[0, 0, 32:64, 32:64])
    for top in range(0, 60, 32):
        for left in range(0, 100, 32):
            tile = padded[..., top : top + 32, left : left + 32]
            expected = (tile - tile.mean())[..., : 60 - top, : 100 - left]
            part = result[..., top : top + 32, left : left + 32]
            torch.testing.assert_close(part, expected)


def test_integers_of_any_depth_are_scaled_to_the_unit_range():
    assert to_tensor(np.full((1, 1, 1), 255, np.uint8)).item() == 1.0
    assert to_tensor(np.full((1, 1, 1), 65535, np.uint16)).item() == 1.0
    assert to_tensor(np.full((1, 1, 1), 0.25, np.float32)).item() == 0.25


def test_a_restored_image_has_the_layout_of_its_input():
    noisy, _ = pair(0)
    assert np.array_equal(restore_image(identity, noisy), noisy / np.float32(255))


def test_a_network_that_changes_the_size_is_refused():
    with pytest.raises(EvaluationError, match=r"\(1, 3, 24, 32\) into \(1, 3, 12, 16\)"):
        restore_image(lambda y: [y[..., ::2, ::2]], pair(0)[0])


class Wide(nn.Module):
    """Needs a known peak of bytes per pixel: eight and four channels of activations."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 4, 1)

    def forward(self, y):
        return [self.second(self.first(y))[:, :3]]


def test_measured_memory_is_the_peak_of_live_activations():
    measured = memory.bytes_per_pixel(Wide(), 3) / memory._WORKSPACE
    assert measured == pytest.approx(4 * (8 + 4), rel=0.02)


def test_released_tensors_are_not_counted():
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(20)])

        def forward(self, y):
            return [self.layers(y)]

    measured = memory.bytes_per_pixel(Chain(), 3) / memory._WORKSPACE
    assert measured <= 4 * 3 * 3


def test_an_image_that_exceeds_the_memory_is_refused_with_a_hint(monkeypatch):
    network = Wide()
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10_000_000)
    memory.require_memory(network, (16, 16, 3))
    with pytest.raises(TooLargeError, match=r"4000x3000 needs about .* GB.*more memory"):
        memory.require_memory(network, (3000, 4000, 3))
    memory.require_memory(network, (3000, 4000, 3), budget=10**12)


def test_exhausted_gpu_memory_gives_a_one_line_error():
    def exhausted(y):
        raise torch.OutOfMemoryError

    with pytest.raises(TooLargeError, match="32x24 pixels exhausts"):
        restore_image(exhausted, pair(0)[0])
