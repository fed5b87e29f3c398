"""A killed and resumed training command writes the same files as an uninterrupted one.

Real processes train on the sample data; the step of the kill is random.
"""

import json
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from training_small import PowerCutError

from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.records import LoadedPair
from dgunet.data.store.writer import write_manifest, write_shard
from dgunet.system.errors import CheckpointError
from dgunet.training import Checkpoints, DivergedError, checkpoints
from dgunet.training.checkpoints import read_checkpoint

RESULT = ["loss.csv", "network.safetensors", "training.json"]


def wait_for_checkpoints(small, process, count):
    """Wait for the checkpoint of step ``count``."""
    while not small.checkpoints() or int(small.checkpoints()[-1].stem.split("-")[1]) < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def contents(folder):
    assert sorted(path.name for path in folder.iterdir()) == RESULT
    return {name: (folder / name).read_bytes() for name in RESULT}


def test_a_training_killed_at_random_steps_resumes_bit_for_bit(small):
    whole = small.home / "whole"
    small.train(whole)
    assert not small.checkpoints()
    out = small.home / "killed"
    for kill in sorted(random.SystemRandom().sample(range(1, 11), 2)):
        process = small.start(out)
        wait_for_checkpoints(small, process, kill)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
        assert not out.exists()
    output = small.finish(out)
    assert re.search(r"resuming from step [1-9]", output)
    assert contents(out) == contents(whole)
    assert not small.checkpoints()


def test_sigterm_keeps_the_step_and_exits_with_the_resume_status(small):
    small.write_params(steps=100_000, checkpoint_seconds=3600)
    out = small.home / "out"
    process = small.start(out)
    for line in process.stderr:  # wait for a line of progress
        if "step" in line and "WARNING" not in line:
            break
    process.send_signal(signal.SIGTERM)
    output = process.stderr.read()
    assert process.wait(timeout=60) == 75, output
    assert "the same command resumes" in output
    (kept,) = small.checkpoints()
    assert not out.exists()
    step = read_checkpoint(kept)["step"]
    assert step > 0
    with pytest.raises(PowerCutError):  # the next training starts there
        small.train(out, stop=step)


def test_the_same_training_with_another_output_folder_continues(small, caplog):
    """As in Kubeflow Pipelines, which gives every execution a new folder."""
    whole = small.train(small.home / "whole")
    with pytest.raises(PowerCutError):
        small.train(small.home / "first", stop=5)
    with caplog.at_level("INFO", logger="dgunet"):
        resumed = small.train(small.home / "second")
    assert "resuming from step 5" in caplog.text
    assert resumed.read_bytes() == whole.read_bytes()
    assert not (small.home / "first").exists() and not small.checkpoints()


def test_a_training_with_other_settings_starts_anew_and_the_first_can_be_continued(small, caplog):
    whole = small.train(small.home / "whole")
    with pytest.raises(PowerCutError):
        small.train(small.home / "out", stop=5)
    (kept,) = {path.parent for path in small.checkpoints()}
    small.write_params(steps=13)
    with caplog.at_level("INFO", logger="dgunet"):
        other = small.train(small.home / "out")
    assert "starting from step 0" in caplog.text and str(kept) in caplog.text
    assert len((other.parent / "loss.csv").read_text().splitlines()) == 1 + 13
    small.write_params(steps=12)
    caplog.clear()
    with caplog.at_level("INFO", logger="dgunet"):
        resumed = small.train(small.home / "out")
    assert "resuming from step 5" in caplog.text
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_training_with_other_data_starts_anew(small, caplog):
    with pytest.raises(PowerCutError):
        small.train(small.home / "out", stop=2)
    (before,) = {path.parent for path in small.checkpoints()}
    kept = PairStore.open(small.home / "store")
    pairs = [LoadedPair(pair.id, pair.input, 255 - pair.target) for pair in kept]
    (small.home / "store").unlink()
    (small.home / "store").mkdir()
    written = write_shard(small.home / "store" / "pairs-00000.arrow", pairs)
    same = ("dataset", "task", "role", "profile", "published_count", "complete")
    facts = {name: getattr(kept.manifest, name) for name in (*same, "protocol", "recipe")}
    write_manifest(small.home / "store", [written], **facts)
    with caplog.at_level("INFO", logger="dgunet"), pytest.raises(PowerCutError):
        small.train(small.home / "out", stop=2)
    assert f"checkpoints of other settings or other data are kept in {before}" in caplog.text
    (after,) = {path.parent for path in small.checkpoints()} - {before}
    assert any(after.glob("step-000000001*")), "it did not begin at step 1"


def test_two_processes_cannot_be_at_one_training(small, monkeypatch, caplog):
    monkeypatch.setattr(checkpoints, "LOCK_SECONDS", 0.2)
    with pytest.raises(PowerCutError):
        small.train(small.home / "out", stop=2)
    folder = small.checkpoints()[-1].parent
    code = "import sys, time\nfrom pathlib import Path\n"
    code += "from dgunet.training.checkpoints import Checkpoints\n"
    code += "held = Checkpoints(Path(sys.argv[1]), {}, seconds=0)\nheld.acquire()\n"
    code += "print('held', flush=True)\ntime.sleep(600)\n"
    line = [sys.executable, "-c", code, str(folder)]
    message = f"another process is at .* {re.escape(str(folder))}"
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(CheckpointError, match=message) as refused:
                small.train(small.home / "out2")
        finally:
            other.kill()
    assert "the same command then resumes" in refused.value.hint
    assert "waiting up to" in caplog.text
    assert small.train(small.home / "out2").exists(), "a killed process leaves no lock"


def test_a_changed_number_of_processes_or_commit_is_logged(small, caplog):
    out = small.home / "out"
    with pytest.raises(PowerCutError):
        small.train(out, stop=3)
    newest = small.checkpoints()[-1]
    snapshot = read_checkpoint(newest)
    other = snapshot["facts"] | {"processes": "2", "commit": "0123abc"}
    again = Checkpoints(newest.parent, snapshot["identity"], seconds=0, facts=other.copy)
    again.save(snapshot | {"rng": 2 * snapshot["rng"]})
    again.wait()
    with caplog.at_level("INFO", logger="dgunet"):
        small.train(out)
    output = caplog.text
    assert "resuming from step 3" in output
    assert "processes was 2 and is 1; from here on the numbers may differ" in output
    assert "commit was 0123abc and is " in output


def test_a_resumed_training_is_one_run_in_mlflow(small):
    import mlflow

    tracked = {"DGUNET_TRACKING": "now"}
    out = small.home / "out"
    process = small.start(out, **tracked)
    wait_for_checkpoints(small, process, 3)
    process.kill()
    process.wait()
    process.stderr.close()
    output = small.finish(out, **tracked)
    assert "resuming from step" in output
    client = mlflow.MlflowClient(f"sqlite:///{small.home / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    assert run.info.status == "FINISHED"
    assert int(run.data.tags["resumed.step"]) >= 3
    curve = client.get_metric_history(run.info.run_id, "loss")
    values = {}
    for metric in curve:  # steps repeated after the kill occur twice, with equal values
        assert values.setdefault(metric.step, metric.value) == metric.value
    assert sorted(values) == list(range(12))


def test_a_diverged_training_records_the_samples_of_the_step(small):
    path = small.write_params(checkpoint_seconds=3600)
    path.write_text(path.read_text().replace("learning_rate: 3.0e-3, warmup: 3", HUGE))
    with pytest.raises(DivergedError) as diverged:
        small.train(small.home / "out")
    output = str(diverged.value)
    (kept,) = (small.home / ".dgunet" / "checkpoints").glob("*/diverged.json")
    assert "Lower the learning rate" in output
    assert str(kept) in output
    content = json.loads(kept.read_text())
    assert f"at step {content['step']} " in output
    assert len(content["samples"]) == 2
    assert all(isinstance(name, str) and name for name in content["samples"])


HUGE = "learning_rate: 1, warmup: 0"
