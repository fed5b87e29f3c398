"""The learning rate: the paper's by step, the released code's by epoch."""

import math

import pytest
import torch
from torch import nn
from training_small import settings

from dgunet.system.errors import ConfigError
from dgunet.training import warmup_cosine
from dgunet.training.training_state import TrainingState


@pytest.mark.parametrize(("warmup", "iterations"), [(0, 10), (1, 10), (4, 20), (10, 100)])
def test_schedule_rises_linearly_then_follows_the_cosine(warmup, iterations):
    rate, minimum = 2e-4, 1e-6
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=rate)
    period = iterations - warmup
    schedule = warmup_cosine(optimizer, warmup=warmup, period=period, minimum=minimum)
    for step in range(iterations):
        if step < warmup:
            expected = rate * (step + 1) / warmup
        else:
            phase = math.pi * (step - warmup) / period
            expected = minimum + (rate - minimum) * (1 + math.cos(phase)) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        schedule.step()


def test_a_minimum_equal_to_the_rate_keeps_it():
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1e-4)
    schedule = warmup_cosine(optimizer, warmup=0, period=9, minimum=1e-4)
    for _ in range(9):
        assert optimizer.param_groups[0]["lr"] == 1e-4
        optimizer.step()
        schedule.step()


def test_warmup_longer_than_the_run_is_refused():
    longer = settings(iterations=10, learning_rate=1e-3, warmup=10)
    with pytest.raises(ConfigError, match="a warm-up of 10 updates does not fit into a run of 10"):
        TrainingState(nn.Conv2d(1, 1, 1), longer)
