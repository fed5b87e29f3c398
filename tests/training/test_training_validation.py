"""The weights that are best on held-out images are selected, also after resuming."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from training_small import CPU, Noise, Recorder, TwoStages, changed, settings

from dgunet.data.batches.holdout import ValidationPairs, hold_out
from dgunet.data.store.pair_store import PairStore
from dgunet.system.errors import DataError
from dgunet.training import (
    Checkpoints,
    InterruptedTrainingError,
    Validation,
    World,
    train,
)
from dgunet.training.stopping import StopRequest
from dgunet.training.validation import mean_psnr

SETTINGS = settings(iterations=20, learning_rate=0.2, warmup=0)
"""A learning rate at which the loss oscillates, so that the last weights are not the best."""


class Held:
    """Three images of noise."""

    def __len__(self):
        return 3

    def __getitem__(self, number):
        generator = torch.Generator().manual_seed(number)
        image = torch.rand(3, 8, 8 + number, generator=generator)
        return image, image


VALIDATION = Validation(Held(), interval=3)


def psnr_of(network):
    """Compute the mean PSNR in dB in float64, independently of the code under test."""
    values = []
    for degraded, target in (Held()[number] for number in range(3)):
        with torch.no_grad():
            out = network(degraded[None])[-1].clamp(0, 1)
        values.append(float(10 * torch.log10(1 / (out[0] - target).double().pow(2).mean())))
    return sum(values) / 3


def test_the_best_validated_weights_are_returned():
    network, seen = TwoStages(), []
    result = train(
        network,
        Noise(),
        SETTINGS,
        CPU,
        validation=VALIDATION,
        reporter=Recorder(validation=seen.append),
    )
    assert [v.steps for v in result.validations] == [3, 6, 9, 12, 15, 18, 20]
    assert tuple(seen) == result.validations
    best = max(result.validations, key=lambda v: v.psnr)
    assert result.selected == best
    assert best.steps < 20, "the test needs a run whose last weights are not its best"
    assert psnr_of(network) == pytest.approx(best.psnr, rel=1e-6)
    stopped = TwoStages()
    train(stopped, Noise(), changed(SETTINGS, iterations=20, learning_rate=0.2), CPU)
    assert psnr_of(stopped) < best.psnr


def test_validation_does_not_change_the_trajectory():
    plain, watched = (
        train(TwoStages(), Noise(), SETTINGS, CPU, validation=v).reports for v in (None, VALIDATION)
    )
    assert [r.stage_losses for r in plain] == [r.stage_losses for r in watched]


def test_validation_uses_the_averaged_weights():
    network = TwoStages()
    result = train(network, Noise(), changed(SETTINGS, average=0.9), CPU, validation=VALIDATION)
    assert psnr_of(network) == pytest.approx(result.selected.psnr, rel=1e-6)


@pytest.mark.parametrize("stop", [2, 3, 7, 19])
def test_a_resumed_run_selects_the_same_weights(tmp_path, stop):
    class PowerCutError(Exception):
        pass

    def observe(report):
        if report.step == stop:
            raise PowerCutError

    def kept():
        return Checkpoints(tmp_path, {}, seconds=0)

    whole, again = TwoStages(), TwoStages()
    expected = train(whole, Noise(), SETTINGS, CPU, validation=VALIDATION)
    first = kept()
    with pytest.raises(PowerCutError):
        train(
            TwoStages(),
            Noise(),
            SETTINGS,
            CPU,
            validation=VALIDATION,
            reporter=Recorder(observe),
            checkpoints=first,
        )
    first.wait()
    earlier = kept().newest()
    assert earlier["step"] == stop
    result = train(again, Noise(), SETTINGS, CPU, validation=VALIDATION, earlier=earlier)
    assert result.validations == expected.validations
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True)
    )


class Interrupted(Held):
    """SIGTERM comes while the second image of the second validation is fetched."""

    def __init__(self):
        self.seen = 0

    def __getitem__(self, number):
        self.seen += 1
        if self.seen == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(number)


def test_a_signal_interrupts_a_validation(tmp_path):
    whole, again = TwoStages(), TwoStages()
    expected = train(whole, Noise(), SETTINGS, CPU, validation=VALIDATION)
    rare, images = Checkpoints(tmp_path, {}, seconds=1e9), Interrupted()
    with pytest.raises(InterruptedTrainingError, match="before step 6"):
        train(
            TwoStages(), Noise(), SETTINGS, CPU, validation=Validation(images, 3), checkpoints=rare
        )
    assert images.seen == 5, "the third image is skipped"
    earlier = rare.newest()
    assert earlier["step"] == 6
    assert [steps for steps, *_ in earlier["validations"]] == [3]
    result = train(again, Noise(), SETTINGS, CPU, validation=VALIDATION, earlier=earlier)
    assert result.validations == expected.validations, "the validation of step 6 is repeated first"
    assert torch.equal(whole.first.weight, again.first.weight)


def test_processes_share_the_images_and_agree_on_a_signal():
    class Two(World):
        """One of two processes, the other of which received the signal ``received``."""

        received = 0

        def __init__(self, rank):
            super().__init__(rank, 2)
            self.rounds = 0

        def largest(self, number, device):
            self.rounds += 1
            return max(number, self.received)

        def total(self, values):
            return values

    network, first, second = TwoStages(), Two(0), Two(1)
    halves = [mean_psnr(network, Held(), world, StopRequest()) for world in (first, second)]
    assert sum(halves) == pytest.approx(psnr_of(network), rel=1e-6)
    assert first.rounds == second.rounds == 2, "otherwise one process would wait for ever"
    second.received = 15
    assert mean_psnr(network, Held(), second, StopRequest()) is None
    assert network.training


class Store:
    """A store of ``count`` photographs in two degraded versions each."""

    def __init__(self, folder, store, count):
        self.folder, self.manifest = folder, store.manifest
        record = store[0]
        self._records = [
            replace(
                record, id=f"{n}_{k}", target_source=replace(record.target_source, sha256=f"{n}")
            )
            for k in range(2)
            for n in range(count)
        ]

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        return self._records[index]


@pytest.fixture
def store(derain_store):
    return PairStore.open(derain_store)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_no_photograph_is_in_both_training_and_validation(store, tmp_path, fraction):
    many = Store(tmp_path, store, 20)
    training, held = hold_out(many, fraction, seed=1)
    assert sorted(training + held) == list(range(40))
    photographs = [{many[i].target_source.sha256 for i in side} for side in (training, held)]
    assert not photographs[0] & photographs[1]
    assert len(photographs[1]) == max(1, round(20 * fraction))
    assert hold_out(many, fraction, seed=1) == (training, held)
    assert any(hold_out(many, fraction, seed=s) != (training, held) for s in range(2, 6))


def test_holding_out_every_photograph_is_refused(store, tmp_path):
    with pytest.raises(DataError, match=r"2 photographs; holding out 0\.9 of them .* leaves none"):
        hold_out(Store(tmp_path, store, 2), 0.9, seed=1)


def test_validation_images_are_cropped_from_the_centre(store):
    whole, cut = ValidationPairs(store, [1], 0), ValidationPairs(store, [1], 8)
    height, width, _ = store[1].shape
    top, left = (height - 8) // 2, (width - 8) // 2
    assert whole[0][0].shape == (3, height, width)
    for side in (0, 1):
        assert torch.equal(cut[0][side], whole[0][side][:, top : top + 8, left : left + 8])
