"""Checkpoints resume a training bit for bit; damaged or foreign ones are not used."""

import hashlib
import io
import os
import subprocess
import sys

import pytest
import torch
from training_small import CPU, Noise, Recorder, TwoStages, settings

from dgunet.system.errors import CheckpointError, DgunetError
from dgunet.training import Checkpoints, InterruptedTrainingError, World, train
from dgunet.training.checkpoints import MAGIC, read_checkpoint
from dgunet.training.training_state import TrainingState

SETTINGS = settings(iterations=20, warmup=4, average=0.9, clip=0.5)
IDENTITY = {"train.iterations": "20", "data.digest": "abc"}


def kept(folder, **extra):
    return Checkpoints(folder, IDENTITY | extra, seconds=0)


def curve(result):
    return [(r.loss, r.stage_losses, r.learning_rate, r.gradient_norm) for r in result.reports]


@pytest.mark.parametrize("stop", [1, 3, 4, 13, 19])
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, stop):
    whole = TwoStages()
    expected = train(whole, Noise(), SETTINGS, CPU)

    class PowerCutError(Exception):
        pass

    def observe(report):
        if report.step == stop:
            raise PowerCutError

    first = kept(tmp_path)
    with pytest.raises(PowerCutError):
        train(TwoStages(), Noise(), SETTINGS, CPU, reporter=Recorder(observe), checkpoints=first)
    first.wait()
    torch.manual_seed(99)
    again = TwoStages()
    with torch.no_grad():
        again.first.weight.zero_()
    checkpoints = kept(tmp_path)
    earlier = checkpoints.newest()
    assert earlier["step"] == stop
    result = train(again, Noise(), SETTINGS, CPU, checkpoints=checkpoints, earlier=earlier)
    assert curve(result) == curve(expected)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_last_three_checkpoints_are_kept(tmp_path):
    train(TwoStages(), Noise(), SETTINGS, CPU, checkpoints=kept(tmp_path))
    steps = [path.name for path in sorted(tmp_path.iterdir())]
    assert steps == [f"step-{step:09d}.ckpt" for step in (18, 19, 20)]


def test_the_random_generator_state_is_kept(tmp_path):
    checkpoints = kept(tmp_path)
    torch.manual_seed(5)
    train(TwoStages(), Noise(), SETTINGS, CPU, checkpoints=checkpoints)
    state = torch.get_rng_state()
    torch.manual_seed(6)
    train(TwoStages(), Noise(), SETTINGS, CPU, earlier=checkpoints.newest())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_random_generator_state_of_every_process_is_kept():
    own = {"cpu": torch.Generator().manual_seed(7).get_state()}
    other = {"cpu": torch.Generator().manual_seed(8).get_state()}
    state = TrainingState(TwoStages(), SETTINGS)
    snapshot = state.snapshot([own, other])
    state.restore(snapshot, World(1, 2))
    assert torch.equal(torch.get_rng_state(), other["cpu"])
    torch.manual_seed(9)
    before = torch.get_rng_state()
    state.restore(snapshot, World(0, 1))
    assert torch.equal(torch.get_rng_state(), before), "another number of processes"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_used(tmp_path, damage, caplog):
    train(TwoStages(), Noise(), SETTINGS, CPU, checkpoints=kept(tmp_path))
    *_, before, victim = sorted(tmp_path.iterdir())
    content = victim.read_bytes()
    victim.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "flip": content[:500] + bytes([content[500] ^ 1]) + content[501:],
            "empty": b"",
            "foreign": b"something else\n" + content,
        }[damage]
    )
    assert kept(tmp_path).newest()["step"] == read_checkpoint(before)["step"] == 19
    output = caplog.text
    assert str(victim) in output
    assert "Using the previous one" in output


def test_without_a_valid_checkpoint_training_starts_at_step_0(tmp_path, caplog):
    assert kept(tmp_path / "nowhere").newest() is None
    (tmp_path / "step-000000001.ckpt").write_bytes(b"")
    assert kept(tmp_path).newest() is None
    assert "None is left; starting from step 0" in caplog.text


def test_a_checkpoint_with_executable_content_is_refused(tmp_path):
    """A pickle that would run code when loaded is refused even if its hash is correct."""
    import io
    import pickle

    from dgunet.system.files import sha256_bytes
    from dgunet.training.checkpoints import MAGIC

    class Evil:
        def __reduce__(self):
            return (exec, ("raise SystemExit('code ran')",))

    buffer = io.BytesIO()
    torch.save({"step": Evil()}, buffer, pickle_module=pickle)
    payload = buffer.getvalue()
    path = tmp_path / "step-000000001.ckpt"
    path.write_bytes(MAGIC + sha256_bytes(payload).encode() + b"\n" + payload)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path)


def test_a_checkpoint_of_another_training_is_refused_with_the_differences(tmp_path):
    train(TwoStages(), Noise(), SETTINGS, CPU, checkpoints=kept(tmp_path))
    other = kept(tmp_path, **{"data.digest": "xyz", "train.patch": "32"})
    with pytest.raises(CheckpointError) as refusal:
        other.newest()
    output = str(refusal.value)
    assert "data.digest was abc, is xyz" in output
    assert "train.patch was absent, is 32" in output
    assert "iterations" not in output
    assert f"remove {tmp_path}" in output


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    import errno

    from dgunet.system import files

    def full(path, content):
        with files.writing(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(DgunetError, match="the disk is full"):
        train(TwoStages(), Noise(), SETTINGS, CPU, checkpoints=kept(tmp_path))


def test_a_signal_stops_after_the_step_and_writes_a_checkpoint(tmp_path):
    import os
    import signal

    def observe(report):
        if report.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    rare = Checkpoints(tmp_path, IDENTITY, seconds=1e9)
    with pytest.raises(InterruptedTrainingError, match="before step 8 by SIGTERM"):
        train(TwoStages(), Noise(), SETTINGS, CPU, reporter=Recorder(observe), checkpoints=rare)
    assert signal.getsignal(signal.SIGTERM) == before
    assert rare.newest()["step"] == 8


def test_files_that_are_not_checkpoints_are_reported_and_skipped(tmp_path, caplog):
    """Including files with a correct hash, and a named pipe."""
    store = kept(tmp_path)
    store.save({"step": 1})
    store.wait()
    os.mkfifo(tmp_path / "step-000000002.ckpt")
    made = io.BytesIO()
    torch.save([1, 2], made)
    for step, payload in ((3, b""), (4, made.getvalue()), (5, b"\x80\x02")):
        head = MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
        (tmp_path / f"step-{step:09d}.ckpt").write_bytes(head + payload)
    assert store.newest()["step"] == 1
    messages = caplog.messages
    assert len(messages) == 4 and all(
        f"step-{number:09d}.ckpt" in line
        for number, line in zip((5, 4, 3, 2), messages, strict=True)
    )


def test_partial_files_of_a_dead_process_are_removed(tmp_path):
    dead = subprocess.run(
        [
            sys.executable,
            "-c",
            "from dgunet.system.leftovers import partial_name\n"
            "print(partial_name('step-000000001'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (tmp_path / dead).write_bytes(b"half")
    Checkpoints(tmp_path, {}, seconds=0).newest()
    assert list(tmp_path.iterdir()) == []
