"""Errors that end a training state what to do: memory, non-finite values, the compiler."""

import math

import pytest
import torch
from training_small import CPU, Noise, Recorder, TwoStages, changed, settings

from dgunet.system.errors import DgunetError
from dgunet.training import DivergedError, train
from dgunet.training.distributed import World
from dgunet.training.failures import explained_failures
from dgunet.training.training_state import TrainingState

SETTINGS = settings(iterations=10, warmup=0)


class Greedy(TwoStages):
    """Allocate an exabyte at the third step, which torch refuses on any machine."""

    calls = 0

    def forward(self, y):
        self.calls += 1
        if self.calls == 3:
            torch.empty(2**60, dtype=torch.uint8)
        return super().forward(y)


def test_out_of_memory_is_reported_with_the_settings_to_lower():
    with pytest.raises(DgunetError) as full:
        train(Greedy(), Noise(batch=4), changed(SETTINGS, batch=4), CPU)
    output = str(full.value)
    assert "the memory is full at step 2, with 4 samples at a time" in output
    assert "Set micro_batch to 2, or recompute to true, or bfloat16 to true" in output


def test_settings_already_in_use_are_not_suggested():
    """The error of a GPU is raised directly, so no GPU is needed."""
    given = changed(SETTINGS, micro_batch=1, recompute=True)
    state = TrainingState(TwoStages(), given)
    with pytest.raises(DgunetError) as full, explained_failures(state, given, 4, World()):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert str(full.value).endswith("with 1 samples at a time. Set bfloat16 to true.")


def test_other_errors_are_propagated():
    state = TrainingState(TwoStages(), SETTINGS)
    with (
        pytest.raises(RuntimeError, match="a bug"),
        explained_failures(state, SETTINGS, 4, World(0, 2)),
    ):
        raise RuntimeError("a bug")


class Poisoned(Noise):
    """The input is NaN at some steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def part(self, step, positions):
        self.poisoned = step if step in self.steps else -1
        return super().part(step, positions)


def test_a_non_finite_step_within_the_budget_is_skipped():
    network = TwoStages()
    result = train(network, Poisoned({0, 4}), changed(SETTINGS, skip_budget=2), CPU)
    assert result.skipped == (0, 4)
    assert all(p.isfinite().all() for p in network.parameters())
    assert math.isnan(result.first_loss), "the first tenth is step 0, which was skipped"
    assert math.isfinite(result.last_loss)
    assert [r.step for r in result.reports] == list(range(10))


def test_a_skipped_step_changes_only_the_learning_rate():
    network, seen = TwoStages(), []

    def observe(report):
        seen.append((network.first.weight.detach().clone(), report.learning_rate))

    train(network, Poisoned({4}), changed(SETTINGS, skip_budget=1), CPU, reporter=Recorder(observe))
    assert torch.equal(seen[3][0], seen[4][0])
    assert not torch.equal(seen[4][0], seen[5][0])
    assert seen[5][1] < seen[4][1]


def test_the_skip_budget_applies_to_the_whole_run():
    with pytest.raises(DivergedError, match=r"at step 7 .* 2 such steps were skipped before"):
        train(TwoStages(), Poisoned({1, 4, 7}), changed(SETTINGS, skip_budget=2), CPU)


def test_a_missing_compiler_is_reported(monkeypatch, tmp_path):
    import torch._inductor.config as inductor

    monkeypatch.setattr(inductor.cpp, "cxx", (None, "no-such-compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with pytest.raises(
        DgunetError, match=r"cannot be compiled: .*such as g\+\+.* compile to false"
    ):
        train(TwoStages(), Noise(), changed(SETTINGS, compile=True), CPU)
