"""The cost of a training: operations, GPUs that share a batch, memory, and the printed lines."""

import json

import pytest
import torch

from dgunet.config import TrainingSettings
from dgunet.costs.evaluation_cost import weight_bytes
from dgunet.costs.machines import given_machine, named_machine
from dgunet.costs.text import logged_line, machine_line, training_lines
from dgunet.costs.training_cost import ISSUE, _Calls, forward_calls, kept_bytes, training_cost
from dgunet.network import DGUNet, preset
from dgunet.network.describe import describe_network
from dgunet.recipes.trainings import paper, released


@pytest.fixture(scope="module")
def derain():
    """The cost of the released training of DGUNet+ for deraining."""
    recipe = released("derain", "DGUNet+")
    return training_cost(recipe.network, recipe.training)


def settings(**values):
    return TrainingSettings(
        **{"iterations": 10, "batch": 8, "patch": 64, "learning_rate": 1e-4, "warmup": 1} | values
    )


def test_operations_are_three_forward_passes_of_every_sample(derain):
    one = describe_network(derain.config, (256, 256)).flops
    assert derain.operations == 3 * 16 * 214_250 * one


def test_recompute_costs_one_forward_pass_more(small):
    plain, again = (training_cost(small, settings(recompute=r)) for r in (False, True))
    assert again.operations * 3 == plain.operations * 4
    assert again.memory() is None
    assert again.fits(named_machine("A100")) is None


def test_gpus_share_a_batch_and_the_fullest_decides(derain):
    machine = given_machine(5)
    alone = derain.seconds(machine)
    assert alone == pytest.approx(derain.operations / 5e12)
    assert derain.seconds(machine, 4) == pytest.approx(alone / 4)
    assert derain.seconds(machine, 3) == pytest.approx(alone * 6 / 16)
    assert derain.seconds(machine, 16) == derain.seconds(machine, 99)
    assert derain.gpu_hours(machine, 3) == pytest.approx(alone * 6 / 16 * 3 / 3600)
    assert [derain.samples_together(n) for n in (1, 3, 8, 99)] == [16, 6, 2, 1]


def test_steps_on_few_pixels_take_the_time_of_their_calls(small):
    """Compressive sensing trains on blocks of 32 x 32, which leave a GPU idle."""
    tiny = training_cost(small, settings(patch=32, batch=2))
    machine = named_machine("H100")
    assert tiny.bound_by_calls(machine)
    assert tiny.seconds(machine) == pytest.approx(10 * 3 * forward_calls(small) * ISSUE)
    assert "10 us to issue each call, assumed" in machine_line(tiny, machine, 1)
    halves = training_cost(small, settings(patch=32, batch=2, micro_batch=1))
    assert halves.seconds(machine) == pytest.approx(2 * tiny.seconds(machine))
    assert not training_cost(small, settings(compile=True)).bound_by_calls(machine)


@pytest.mark.parametrize("task", ["derain", "cs"])
def test_the_calls_of_a_network_do_not_depend_on_its_widths(task):
    config = preset(task, ratio=10 if task == "cs" else None, stages=3)
    network, image = DGUNet(config).eval(), torch.rand(1, config.channels, 64, 64)
    with torch.inference_mode(), _Calls() as wide:
        network(image)
    assert forward_calls(config) == wide.made > 100


def test_the_memory_of_a_training_grows_with_the_samples_of_a_gpu(derain, small):
    assert derain.memory(8) < derain.memory(2) < derain.memory(1)
    assert derain.memory(2) - derain.memory(4) == pytest.approx(
        4 * 256**2 * kept_bytes(derain.config), rel=1e-6
    )
    micro = training_cost(small, settings(micro_batch=2))
    assert micro.memory() == training_cost(small, settings(batch=2)).memory()


@pytest.mark.parametrize("variant", ["DGUNet", "DGUNet+"])
def test_the_memory_is_that_of_measured_training_steps(project, variant):
    """The benchmark begins after the weights exist and includes the workspace of convolutions."""
    measured = json.loads((project / "benchmarks/results/training_speed.json").read_text())
    batch, patch = (measured["settings"][key] for key in ("batch", "patch"))
    (plain,) = (
        row for row in measured["results"] if (row["variant"], row["way"]) == (variant, "plain")
    )
    config = preset("derain", variant)
    cost = training_cost(config, settings(batch=batch, patch=patch))
    added = (cost.memory() - weight_bytes(config)) / 2**30
    assert 0.7 < added / plain["peak_gib_above_start"] < 1.0


def test_a_gpu_whose_memory_is_too_small_is_named():
    recipe = paper("deblur", "DGUNet+")
    cost = training_cost(recipe.network, recipe.training)
    small, large = named_machine("V100"), named_machine("A100")
    assert cost.fits(small) is False and cost.fits(large, 8) is True
    assert "32.0 GB of memory are too little" in machine_line(cost, small, 1)
    assert "too little" not in machine_line(cost, large, 8)


def test_the_lines_state_duration_and_assumption(derain):
    machine = named_machine("A100")
    lines = training_lines(derain, [machine], 8)
    assert lines[0].startswith("cost: 3.99 EFLOP, forward and backward")
    assert lines[1] == f"  8 x A100-80GB: 24 h ({machine.assumption})"
    assert lines[2].startswith("memory: about ") and "2 samples at a time" in lines[2]
    unknown = training_cost(derain.config, settings(bfloat16=True))
    assert "not estimated" in training_lines(unknown, [machine], 1)[-1]


def test_the_authors_log_is_shown_as_that_of_one_training():
    assert logged_line(released("derain", "DGUNet+")).endswith("; 5.0 days in all")
    for other in (released("derain"), paper("derain", "DGUNet+"), released("cs", ratio=10)):
        line = logged_line(other)
        assert "1,738 s per epoch of deraining DGUNet+ on 2 GPUs" in line
        assert line.endswith("none of this training")


def test_the_command_names_gpus_and_refuses_what_cannot_be(dgunet):
    printed = dgunet("recipe", "released", "derain", "--variant", "DGUNet+").stdout
    for gpu in ("8 x V100-32GB: 30 h", "8 x A100-80GB: 24 h", "8 x H100-80GB: 13 h", "8 x H200"):
        assert gpu in printed
    one = dgunet("recipe", "released", "derain", "--gpu", "h100", "--gpus", 2).stdout
    assert "2 x H100-80GB" in one and "V100-32GB" not in one
    given = dgunet("recipe", "released", "derain", "--tflops", 10).stdout
    assert "8 x GPU: " in given and "10 TFLOP/s sustained; given" in given
    for wrong, said in (
        (("--gpu", "T4"), "unknown GPU 'T4'"),
        (("--gpu", "A100", "--tflops", 4), "Use one of them"),
        (("--gpus", 17), "--gpus 16 or fewer"),
    ):
        result = dgunet("recipe", "released", "derain", *wrong)
        assert result.returncode == 1 and said in result.stderr
