"""What training must do: lower Eq. (10), follow the printed schedule, repeat itself exactly."""

import math

import pytest
import torch
from torch import nn

from dgunet.errors import DgunetError
from dgunet.training import TrainingConfig, stage_losses, train, warmup_cosine
from dgunet.training.loop import DivergedError, pick_device


class TwoStages(nn.Module):
    """A network with two outputs and a known optimum: the identity."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, y):
        first = self.first(y)
        return [first, self.second(first)]


def batches(step):
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(step))
    return image, image


CONFIG = TrainingConfig(iterations=40, learning_rate=1e-2, warmup=4)


def test_training_lowers_the_loss():
    result = train(TwoStages(), batches, CONFIG)
    assert result.last_loss < 0.5 * result.first_loss


def test_the_same_run_twice_gives_the_same_weights():
    runs = [TwoStages(), TwoStages()]
    reports = [train(network, batches, CONFIG).reports for network in runs]
    for a, b in zip(runs[0].parameters(), runs[1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert [r.loss for r in reports[0]] == [r.loss for r in reports[1]]


def test_every_step_is_reported_once_in_order():
    seen = []
    result = train(TwoStages(), batches, CONFIG, observe=seen.append)
    assert [report.step for report in seen] == list(range(CONFIG.iterations))
    assert tuple(seen) == result.reports
    assert all(math.isclose(r.loss, sum(r.stage_losses), rel_tol=1e-5) for r in seen)


def test_loss_is_the_sum_over_all_stages_of_eq_10():
    x = torch.zeros(1, 1, 2, 2)
    outputs = [torch.full_like(x, 1.0), torch.full_like(x, 2.0), torch.full_like(x, 3.0)]
    assert stage_losses(outputs, x).tolist() == [1.0, 4.0, 9.0]


def test_loss_names_the_stage_with_the_wrong_shape():
    x = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match="stage 2 has shape"):
        stage_losses([x, x[..., :2]], x)


@pytest.mark.parametrize(("warmup", "iterations"), [(0, 10), (1, 10), (4, 20), (10, 100)])
def test_schedule_rises_linearly_then_follows_the_cosine(warmup, iterations):
    rate, minimum = 2e-4, 1e-6
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=rate)
    schedule = warmup_cosine(optimizer, warmup=warmup, iterations=iterations, minimum=minimum)
    for step in range(iterations):
        if step < warmup:
            expected = rate * (step + 1) / warmup
        else:
            phase = math.pi * (step - warmup) / (iterations - warmup)
            expected = minimum + (rate - minimum) * (1 + math.cos(phase)) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        schedule.step()


def test_warmup_longer_than_the_run_is_refused():
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    with pytest.raises(ValueError, match="does not fit"):
        warmup_cosine(optimizer, warmup=10, iterations=10, minimum=0.0)


def test_divergence_stops_the_run_and_names_the_step():
    def poisoned(step):
        image, target = batches(step)
        return (image * math.nan if step == 3 else image), target

    with pytest.raises(DivergedError, match="at step 3"):
        train(TwoStages(), poisoned, CONFIG)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(DgunetError, match="sees no GPU"):
        pick_device("cuda")


def test_thread_count_is_restored():
    before = torch.get_num_threads()
    train(
        TwoStages(), batches, TrainingConfig(iterations=2, learning_rate=1e-3, warmup=0, threads=1)
    )
    assert torch.get_num_threads() == before
