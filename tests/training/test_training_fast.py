"""``fast`` turns on the switches of the device, names them, and a resumed training keeps them."""

import json
from dataclasses import replace

import pytest
import torch
from training_small import CPU, Noise, PowerCutError, TwoStages, prepared, settings
from training_trajectories import ONE_THREAD, TINY

from dgunet.config import RuntimeSettings
from dgunet.config.training import FAST_SWITCHES
from dgunet.network import load_network, preset
from dgunet.system.errors import CheckpointError
from dgunet.tracking.reports.settings import training_params
from dgunet.training import preparation, step_probe, train
from dgunet.training.checkpoints import read_checkpoint
from dgunet.training.fast import decide, gpu_switches

CONFIG = preset("derain", **TINY)
FAST = settings(iterations=8, warmup=0, fast=True)
EQUAL = {"channels_last", "fused_adam"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DGUNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "training-steps"


@pytest.fixture
def probe_finds(monkeypatch):
    """Replace the probe by one that finds these switches."""

    def replaced(*names):
        monkeypatch.setattr("dgunet.training.fast.fastest_step", lambda *given: names)

    return replaced


@pytest.fixture
def steps_are(monkeypatch):
    """Change what a step with ``channels_last`` does; a plain step takes a second."""

    def changed_to(faster=1.0, *, act=lambda steps, report: report):
        class Steps(step_probe.TrainingSteps):
            def __call__(self):
                report = replace(super().__call__(), seconds=1.0)
                if not self._settings.channels_last:
                    return report
                return act(self, replace(report, seconds=1 / faster))

        monkeypatch.setattr(step_probe, "TrainingSteps", Steps)

    return changed_to


def fails(steps, report):
    raise RuntimeError("could not create a primitive")


def other_loss(steps, report):
    return replace(report, loss=report.loss * 1.001)


def other_gradient(steps, report):
    next(p for p in steps.state.network.parameters() if p.grad is not None).grad += 1e-2
    return report


def not_a_number(steps, report):
    return replace(report, loss=float("nan"))


def decided(given, runtime=ONE_THREAD, kept=None):
    lines = []
    found, reason = decide(given, runtime, CONFIG, kept, lines.append)
    assert not found.fast
    return set(found.switches), reason, lines


@pytest.mark.parametrize(
    ("capability", "absent"),
    [((9, 0), set()), ((8, 0), set()), ((7, 0), {"bfloat16"}), ((6, 1), {"bfloat16", "compile"})],
    ids=["H100", "A100", "V100", "P100"],
)
def test_a_gpu_has_all_switches_that_it_computes_itself(capability, absent, monkeypatch):
    assert gpu_switches(capability) == set(FAST_SWITCHES) - absent
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    runtime = RuntimeSettings(device="auto", threads=1, kernels="portable")
    assert decided(FAST, runtime)[:2] == (set(FAST_SWITCHES) - absent, "on this GPU")
    written = settings(iterations=8, warmup=0, fast=True, compile=False)
    assert decided(written, runtime)[0] == set(FAST_SWITCHES) - absent - {"compile"}


def test_written_switches_stay(cache, probe_finds):
    probe_finds(*EQUAL)
    given = settings(iterations=8, warmup=0, fast=True, fused_adam=False, bfloat16=True)
    assert decided(given)[0] == {"channels_last", "bfloat16"}


def test_portable_kernels_keep_the_plain_step(cache):
    runtime = RuntimeSettings(device="cpu", threads=1, kernels="portable")
    on, reason, lines = decided(FAST, runtime)
    assert (on, lines) == (set(), [])
    assert "portable kernels" in reason
    assert not cache.exists()


def test_a_compiled_step_is_not_probed(cache):
    on, reason, _ = decided(settings(iterations=8, warmup=0, fast=True, compile=True))
    assert on == {"compile"}
    assert "not probed" in reason


def test_real_steps_are_probed_once(cache):
    state = torch.get_rng_state()
    on, reason, lines = decided(FAST)
    assert on <= EQUAL
    assert "probe" in reason
    assert {"channels_last", "fused_adam", "channels_last with fused_adam"} <= {
        line.partition(":")[0] for line in lines
    }
    assert not any("left out" in line for line in lines)
    (note,) = cache.iterdir()
    assert json.loads(note.read_text())["training step"] == (" with ".join(sorted(on)) or "plain")
    again = decided(FAST)
    assert again[0] == on
    assert len(again[2]) == 1
    assert torch.equal(torch.get_rng_state(), state)
    decided(FAST.model_copy(update={"loss": "charbonnier-edge"}))
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (fails, "it failed (could not create a primitive)"),
        (other_loss, "its loss is off by 1.0e-03"),
        (other_gradient, "its gradient is off by"),
        (not_a_number, "its loss is off by nan"),
    ],
    ids=["fails", "loss", "gradients", "nan"],
)
def test_a_step_that_fails_or_differs_is_left_out(cache, steps_are, act, reason):
    steps_are(2.0, act=act)
    on, _, lines = decided(FAST)
    assert on == set()
    assert [reason in line for line in lines].count(True) == 2


@pytest.mark.parametrize(
    ("faster", "on"), [(1.05, set()), (1.2, {"channels_last"})], ids=["little", "enough"]
)
def test_a_small_gain_keeps_the_plain_step(cache, steps_are, faster, on):
    steps_are(faster)
    assert decided(FAST)[0] == on


def test_an_undecided_fast_cannot_be_trained():
    with pytest.raises(ValueError, match=r"dgunet\.training\.fast"):
        train(TwoStages(), Noise(), FAST, CPU)


def with_settings(small, text):
    """Write the small training with these settings and the machine's kernels."""
    path = small.write_params()
    lines = path.read_text().replace("warmup: 3}", f"warmup: 3, {text}}}")
    path.write_text(lines.replace("kernels: portable", "kernels: fastest"))


def test_a_fast_training_is_that_of_its_switches_and_says_so(small, probe_finds):
    probe_finds("channels_last", "fused_adam")
    with_settings(small, "fast: true")
    fast = small.train(small.home / "fast")
    with_settings(small, "channels_last: true, fused_adam: true")
    written = small.train(small.home / "written")
    assert fast.read_bytes() == written.read_bytes()
    assert load_network(fast)[1]["train.switches"] == "channels_last, fused_adam"


def test_the_run_names_what_fast_turned_on(small, probe_finds):
    probe_finds("channels_last")
    with_settings(small, "fast: true")
    shown = training_params(prepared(small).inputs, torch.nn.Linear(1, 1))
    assert shown["train.fast"] == "channels_last"
    assert shown["train.channels_last"] is True
    probe_finds()
    shown = training_params(prepared(small).inputs, torch.nn.Linear(1, 1))
    assert shown["train.fast"] == "plain"
    assert "train.channels_last" not in shown


def test_only_the_leading_process_decides(small, probe_finds):
    probe_finds("fused_adam")
    with_settings(small, "fast: true")
    assert prepared(small).inputs.settings.switches == ("fused_adam",)
    assert prepared(small, rank=1).inputs.settings.fast


def test_the_mirror_is_found_by_a_machine_that_decides_otherwise(small, probe_finds, monkeypatch):
    names = []
    monkeypatch.setattr(preparation, "CheckpointMirror", lambda _, name: names.append(name))
    for text, found in (("true", ()), ("true", ("fused_adam",)), ("false", ())):
        probe_finds(*found)
        with_settings(small, f"fast: {text}")
        prepared(small, mirror="s3://bucket/prefix")
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("first", "later"),
    [(("channels_last",), ("fused_adam",)), ((), ("channels_last", "fused_adam"))],
    ids=["switch", "plain"],
)
def test_a_resumed_training_keeps_its_switches(small, probe_finds, caplog, first, later):
    probe_finds(*first)
    with_settings(small, "fast: true")
    whole = small.train(small.home / "whole")
    with pytest.raises(PowerCutError):
        small.train(small.home / "out", stop=5)
    identity = read_checkpoint(small.checkpoints()[-1])["identity"]
    assert [name for name in FAST_SWITCHES if identity[f"train.{name}"] == "True"] == [*first]
    probe_finds(*later)
    with caplog.at_level("INFO", logger="dgunet"):
        resumed = small.train(small.home / "out")
    assert f"fast is {', '.join(first) or 'plain'}: as in the checkpoint" in caplog.text
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_written_switch_must_be_that_of_the_checkpoint(small, probe_finds):
    probe_finds("channels_last")
    with_settings(small, "fast: true")
    with pytest.raises(PowerCutError):
        small.train(small.home / "out", stop=2)
    with_settings(small, "fast: true, channels_last: false")
    with pytest.raises(CheckpointError, match=r"train\.channels_last was True, is False"):
        small.train(small.home / "out")
