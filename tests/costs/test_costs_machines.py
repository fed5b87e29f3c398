"""Named GPUs, the rate of the authors' log, and a probe that really runs."""

import json
import math
import statistics

import pytest
import torch

from dgunet.costs.formats import duration, operations, size
from dgunet.costs.machines import (
    LOGGED_GPUS,
    LOGGED_SECONDS,
    MEASURED,
    NAMED_GPUS,
    Machine,
    chosen_machines,
    given_machine,
    logged_rate,
    logged_share,
    named_machine,
    named_machines,
)
from dgunet.costs.probe import probe_machine
from dgunet.costs.training_cost import training_cost
from dgunet.recipes.trainings import released
from dgunet.system.errors import ConfigError, DataError, DgunetError


def test_named_gpus_have_published_figures_with_a_source():
    assert [name.partition("-")[0] for name in NAMED_GPUS] == ["V100", "A100", "H100", "H200"]
    for gpu in NAMED_GPUS.values():
        assert "datasheet" in gpu.source
        assert f"{gpu.memory // 10**9}GB" in gpu.name
        assert gpu.tf32 is None or gpu.tf32 > gpu.float32
    v100, a100, h100, h200 = named_machines()
    for machine in (v100, a100):
        assert machine.rate == pytest.approx(logged_share() * NAMED_GPUS[machine.name].float32)
        assert f"{logged_share():.0%}" in machine.assumption
    assert (h100.rate, h100.training_rate) == (h200.rate, h200.training_rate)
    assert NAMED_GPUS[h100.name].float32 == NAMED_GPUS[h200.name].float32
    for machine in (v100, a100, h100, h200):
        assert "TF32 off" in machine.assumption
        assert ("assumed" in machine.assumption) == (machine in (a100, h100))
    assert h200.assumption.startswith("measured")


@pytest.mark.parametrize(
    ("file", "case", "candidate", "rate"),
    [
        ("inference", "derain DGUNet, 256x256", "eager", "evaluation"),
        ("training", "derain DGUNet, 4 x 256x256", "plain", "training"),
    ],
)
def test_the_measured_rates_are_those_of_the_benchmark(project, file, case, candidate, rate):
    path = project / "benchmarks" / "results" / f"{file}-nvidia-h200-torch2.11.0.json"
    rows = json.loads(path.read_text())["rows"]
    (row,) = [each for each in rows if (each["case"], each["candidate"]) == (case, candidate)]
    seconds = statistics.median(each["wall"][1] for each in row["rounds"])
    measured = getattr(MEASURED["H200-141GB"], rate)
    assert measured == pytest.approx(row["flops"] / seconds, rel=1e-3)


def test_the_logged_rate_reproduces_the_logged_epoch():
    recipe = released("derain", "DGUNet+")
    cost = training_cost(recipe.network, recipe.training)
    logged = given_machine(logged_rate() / 1e12)
    assert cost.seconds(logged, LOGGED_GPUS) == pytest.approx(250 * LOGGED_SECONDS)
    assert 0.1 < logged_share() < 0.6  # more would be beyond what convolutions reach in float32


@pytest.mark.parametrize("name", ["A100", "a100", "A100-80GB", "a100-80gb"])
def test_a_gpu_is_found_with_and_without_its_memory(name):
    assert named_machine(name).name == "A100-80GB"


def test_a_wrong_choice_names_the_right_ones():
    with pytest.raises(ConfigError, match="V100-32GB, A100-80GB, H100-80GB, H200-141GB"):
        named_machine("T4")
    with pytest.raises(ConfigError, match="together"):
        chosen_machines("A100", 5.0)
    assert chosen_machines() == named_machines()
    assert [machine.rate for machine in chosen_machines(tflops=5.0)] == [5e12]


def test_a_short_probe_runs_and_reports_what_it_measured(small):
    seen = []

    def observe(done, most):
        seen.append((done, most))

    threads = torch.get_num_threads()
    before = torch.random.get_rng_state()
    machine = probe_machine(
        0.5, config=small, device="cpu", threads=1, observe=lambda *a: seen.append(a)
    )
    probe = machine.probe
    assert machine.rate > 0 and math.isfinite(machine.rate)
    assert probe.passes >= 1 and probe.spread >= 0 and probe.threads == 1
    assert probe.device == "cpu" and machine.memory > 0
    assert probe.seconds < 10
    assert seen and all(most == 0.5 and 0 <= done <= most for done, most in seen)
    assert f"{probe.passes} passes on {probe.side}x{probe.side}" in machine.assumption
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_longer_probe_uses_a_larger_image(small):
    assert probe_machine(3, config=small, device="cpu").probe.side > 32


def test_a_probe_survives_json(small):
    machine = probe_machine(0.1, config=small, device="cpu")
    stored = json.loads(json.dumps(machine.content()))
    assert Machine.from_content(stored) == machine
    assert Machine.from_content(named_machine("V100").content()) == named_machine("V100")
    for damage in (
        {"rate": 0},
        {"rate": "fast"},
        {"probe": {"side": 1}},
        {"probe": 3},
        {"more": 1},
    ):
        with pytest.raises(DataError, match="stored probe"):
            Machine.from_content(stored | damage)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_a_probe_without_a_duration_is_refused(seconds):
    with pytest.raises(ConfigError, match="positive"):
        probe_machine(seconds)


def test_a_probe_of_an_absent_gpu_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DgunetError, match="no GPU"):
        probe_machine(0.1, device="cuda")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "under 1 s"),
        (59.6, "60 s"),
        (90, "2 min"),
        (5_400, "1.5 h"),
        (36_000, "10 h"),
        (172_800, "2.0 days"),
        (1e7, "116 days"),
        (math.inf, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_sizes_and_operations():
    assert [size(n) for n in (0, 999, 1_000, 25e12)] == ["0 B", "999 B", "1.0 kB", "25.0 TB"]
    assert operations(1.5e12) == "1.5 TFLOP"
