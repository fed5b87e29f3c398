"""Training lowers the loss of Eq. (10), is deterministic, and reports every step."""

import math

import pytest
import torch
from training_small import CPU, Noise, Recorder, TwoStages, changed, settings

from dgunet.config import RuntimeSettings
from dgunet.network.devices import pick_device
from dgunet.system.errors import DgunetError
from dgunet.training import stage_losses, train
from dgunet.training.step import DivergedError

SETTINGS = settings(iterations=40, warmup=4)


def test_training_lowers_the_loss():
    result = train(TwoStages(), Noise(), SETTINGS, CPU)
    assert result.last_loss < 0.5 * result.first_loss


def test_the_same_run_twice_gives_the_same_weights():
    runs = [TwoStages(), TwoStages()]
    reports = [train(network, Noise(), SETTINGS, CPU).reports for network in runs]
    for a, b in zip(runs[0].parameters(), runs[1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert [r.loss for r in reports[0]] == [r.loss for r in reports[1]]


def test_every_step_is_reported_once_in_order():
    seen = []
    result = train(TwoStages(), Noise(), SETTINGS, CPU, reporter=Recorder(seen.append))
    assert [report.step for report in seen] == list(range(SETTINGS.iterations))
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


def test_divergence_stops_the_run_and_names_the_step():
    with pytest.raises(DivergedError, match="at step 3") as stop:
        train(TwoStages(), Noise(poisoned=3), SETTINGS, CPU)
    assert stop.value.step == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused():
    with pytest.raises(DgunetError, match="finds no GPU"):
        pick_device("cuda")


def test_thread_count_is_restored():
    before = torch.get_num_threads()
    one = RuntimeSettings(device="cpu", threads=1)
    train(TwoStages(), Noise(), settings(iterations=2, learning_rate=1e-3, warmup=0), one)
    assert torch.get_num_threads() == before


def test_bfloat16_keeps_float32_weights_and_still_learns():
    network = TwoStages()
    result = train(network, Noise(), changed(SETTINGS, bfloat16=True), CPU)
    assert result.last_loss < 0.5 * result.first_loss
    assert result.reports != train(TwoStages(), Noise(), SETTINGS, CPU).reports
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_a_clipped_gradient_moves_less():
    """With Adam's epsilon of 1e-8, a gradient of norm 1e-9 hardly changes the weights."""
    network, start = TwoStages(), TwoStages()
    result = train(network, Noise(), changed(SETTINGS, iterations=5, clip=1e-9), CPU)
    torch.testing.assert_close(network.first.weight, start.first.weight, rtol=0, atol=6e-3)
    assert all(report.gradient_norm > 1e-3 for report in result.reports)
    free = TwoStages()
    train(free, Noise(), changed(SETTINGS, iterations=5), CPU)
    assert not torch.allclose(free.first.weight, start.first.weight, rtol=0, atol=6e-3)


def test_the_averaged_weights_lag_behind():
    start, last, mean = TwoStages(), TwoStages(), TwoStages()
    train(last, Noise(), SETTINGS, CPU)
    train(mean, Noise(), changed(SETTINGS, average=0.95), CPU)
    whole = (last.first.weight - start.first.weight).detach().norm()
    part = (mean.first.weight - start.first.weight).detach().norm()
    assert 0 < float(part) < float(whole)


def test_the_duration_of_a_step_includes_data_loading_and_optimizer(monkeypatch):
    """The clock advances by one second at each batch and each optimizer step."""
    clock = [0.0]

    class Slow(Noise):
        def part(self, step, positions):
            clock[0] += 1
            return super().part(step, positions)

    move = torch.optim.Adam.step

    def slowly(self, *args, **kwargs):
        clock[0] += 1
        return move(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", slowly)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    result = train(TwoStages(), Slow(), changed(SETTINGS, iterations=3, warmup=1), CPU)
    assert [report.seconds for report in result.reports] == [2, 2, 2]
