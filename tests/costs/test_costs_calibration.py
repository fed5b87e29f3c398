"""The calibration of a machine, its file, and estimates that use it."""

import json

import pytest

from dgunet.costs import calibration
from dgunet.costs.calibration import (
    calibrate,
    compared_machines,
    kept_machine,
    read_calibration,
    write_calibration,
)
from dgunet.costs.estimate import Limits, Price, Work, estimate, given_price
from dgunet.costs.evaluation_cost import evaluation_cost
from dgunet.costs.machines import given_machine, named_machine
from dgunet.costs.training_cost import training_cost
from dgunet.network import preset
from dgunet.recipes.trainings import released
from dgunet.system.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def measured(small):
    """A short calibration of this machine."""
    seen = []
    machine = calibrate(
        0.4, config=small, device="cpu", threads=1, observe=lambda *each: seen.append(each)
    )
    assert seen and all(0 <= done <= most == 0.4 for done, most in seen)
    return machine


def test_a_calibration_measures_passes_and_real_steps(small, measured, monkeypatch):
    assert 0 < measured.training_rate < 1e15 and measured.rate > 0
    assert "TFLOP/s in trainings, the median of" in measured.assumption

    class Slow(calibration.TrainingSteps):
        def __call__(self):
            calibration.time.sleep(0.2)
            return super().__call__()

    monkeypatch.setattr(calibration, "TrainingSteps", Slow)
    slow = calibrate(0.4, config=small, device="cpu", threads=1)
    operations = training_cost(small, calibration._settings(1, 32)).operations
    assert slow.training_rate < operations / 0.2, "the rate is that of the steps"


def test_the_command_writes_a_file_that_plans_read(dgunet, tmp_path):
    path = tmp_path / "machine.json"
    options = ("--seconds", "0.2", "--device", "cpu", "--threads", "1", "--out", path)
    result = dgunet("calibrate", *options)
    assert result.returncode == 0, result.stderr
    machine = read_calibration(path)
    assert machine.probe.threads == 1 and machine.assumption in result.stdout
    refused = dgunet("calibrate", "--device", "tpu", "--out", path)
    assert refused.returncode == 1 and "tpu" in refused.stderr


def test_trainings_and_evaluations_take_their_own_rate(measured):
    recipe = released("derain")
    training = training_cost(recipe.network, recipe.training)
    evaluation = evaluation_cost("Rain100L", preset("derain"))
    expected = training.operations / measured.training_rate
    assert training.seconds(measured) == pytest.approx(expected)
    assert evaluation.seconds(measured) == pytest.approx(evaluation.operations / measured.rate)


def test_a_calibration_is_kept_and_read_again(tmp_path, measured, monkeypatch):
    path = tmp_path / "machine.json"
    monkeypatch.setattr(calibration, "calibrate", lambda seconds, observe=None: measured)
    assert kept_machine(path, 1.0) == measured == read_calibration(path)
    assert compared_machines(calibration=path) == [measured]
    monkeypatch.setattr(calibration, "calibrate", lambda *a, **k: pytest.fail("measured twice"))
    assert kept_machine(path, 1.0) == measured


def test_a_file_without_the_rate_of_trainings_is_measured_again(tmp_path, measured, monkeypatch):
    path = tmp_path / "machine.json"
    content = measured.content()
    del content["training_rate"]  # as the plans of campaigns kept it before
    path.write_text(json.dumps(content))
    assert read_calibration(path).rate == measured.rate
    monkeypatch.setattr(calibration, "calibrate", lambda seconds, observe=None: measured)
    assert kept_machine(path, 1.0) == read_calibration(path) == measured


def test_wrong_files_and_options_are_refused(tmp_path, measured):
    path = tmp_path / "machine.json"
    with pytest.raises(ConfigError, match=r"no calibration .*machine.json.*dgunet calibrate"):
        read_calibration(path)
    write_calibration(path, named_machine("A100"))
    with pytest.raises(DataError, match=r"machine.json: the rate was not measured"):
        read_calibration(path)
    path.write_text(json.dumps(measured.content() | {"training_rate": -1}))
    with pytest.raises(DataError, match=r"machine.json: .* damaged .*rate is -1"):
        read_calibration(path)
    with pytest.raises(ConfigError, match="--calibration and --tflops together"):
        compared_machines(None, 3.0, path)


def test_a_price_is_only_what_the_user_states():
    assert given_price(None, None) is None
    assert str(given_price(2.5, "EUR")) == "2.5 EUR per GPU-hour; given"
    assert str(given_price(2.5, None)) == "2.5 per GPU-hour; given"
    assert Price(1, "EUR").money(12_345.6) == "12,346 EUR"
    with pytest.raises(ConfigError, match="--currency without --price"):
        given_price(None, "EUR")
    with pytest.raises(ConfigError, match="--currency is"):
        given_price(1, "a b")


def test_an_estimate_adds_up(measured):
    recipe = released("derain")
    training = Work("train", "a", training_cost(recipe.network, recipe.training), gpus=4)
    evaluation = Work("evaluate", "b", evaluation_cost("Rain100L", preset("derain")))
    reading = Work("check", "c", other_seconds=7.0)
    works, machine = [training, training, evaluation, reading], given_machine(10)
    (one,) = estimate(works, [machine], price=Price(2)).machines
    assert one.seconds == tuple(work.seconds(machine) for work in works)
    assert one.wall == pytest.approx(sum(one.seconds))
    hours = (8 * one.seconds[0] + one.seconds[2]) / 3600
    assert one.hours == pytest.approx(hours) and one.money == pytest.approx(2 * hours)
    limits = Limits({"train": 2, "evaluate": 1, "check": 1}, quota=None)
    (both,) = estimate(works, [machine], limits=limits).machines
    assert both.training_wall == pytest.approx(one.seconds[0]) and both.money is None
    (never,) = estimate(works, [machine], limits=Limits(limits.together, 3)).machines
    assert never.training_wall is None is never.wall
    (here,) = estimate(works, [measured], price=Price(2)).machines
    assert here.money is None, "a machine without a GPU has no GPU-hours"
    assert estimate(works, [measured]).content()["machines"][0]["gpu_hours"] is None
