"""The logged model restores images of any size, through MLflow alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException

from dgunet import files, network
from dgunet.tracking import Layout, deliver, start_run
from dgunet.tracking.journal import JournalReader

TAGS = {"stage": "train", "profile": "sample"}
TINY: dict[str, Any] = {"n_feat": 8, "scale": 4, "stages": 3}


def log(weights: Path, name: str) -> str:
    """Log ``weights`` in a run of their own; gives the id of its one model."""
    with start_run("dgunet/table-1", name, tags=TAGS, params={}) as run:
        run.log_network(weights, name, step=12, params={"stages": 3})
    assert run.run_id is not None
    return run.run_id


@pytest.mark.parametrize(("task", "ratio"), [("derain", None), ("cs", 10)])
def test_another_size_is_restored(
    project: Layout,
    client: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    ratio: int | None,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.uri)
    torch.manual_seed(0)
    net = network.DGUNet(network.preset(task, ratio=ratio, **TINY)).eval()
    weights = tmp_path / "network.safetensors"
    network.save_network(net, weights, {})
    run = client.get_run(log(weights, f"{task}-DGUNet+"))
    (output,) = run.outputs.model_outputs
    assert output.step == 12
    made = client.get_logged_model(output.model_id)
    assert made.status == "READY" and made.source_run_id == run.info.run_id
    assert made.tags["checkpoint.sha256"] == files.sha256_file(weights)
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    channels = net.config.channels
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, channels, -1, -1)
    for shape in ((1, channels, 32, 32), (2, channels, 21, 50)):
        images = np.random.default_rng(0).random(shape, dtype=np.float32)
        restored = loaded.predict(images)
        with torch.inference_mode():
            expected = net(torch.from_numpy(images))[-1].clamp(0, 1).numpy()
        np.testing.assert_array_equal(restored, expected)
    with pytest.raises(MlflowException):
        loaded.predict(np.zeros((1, channels + 1, 8, 8), np.float32))


def test_a_lost_answer_does_not_double_the_model(
    project: Layout, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model was made and its id never heard; the second attempt goes on with it."""
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    weights = tmp_path / "network.safetensors"
    network.save_network(network.DGUNet(network.preset("derain", **TINY)), weights, {})
    with start_run("dgunet/table-1", "train", tags=TAGS, params={}) as run:
        run.log_network(weights, "derain")
    create = client.create_logged_model

    def create_and_lose(*arguments: Any, **named: Any) -> Any:
        create(*arguments, **named)
        raise ConnectionError("the answer is lost")

    with monkeypatch.context() as patch:
        patch.setattr(client, "create_logged_model", create_and_lose)
        outcome = deliver(project)
    assert outcome.reason is not None and "the answer is lost" in outcome.reason
    cursor = JournalReader(project.journals / run.journal_id).cursor()
    assert cursor.models == {"1": ""}
    assert deliver(project, persist=True).sent == ["train"]
    arrived = client.get_run(run.run_id)
    models = client.search_logged_models([arrived.info.experiment_id])
    assert [m.model_id for m in models] == [m.model_id for m in arrived.outputs.model_outputs]
    assert len(models) == 1 and models[0].status == "READY"
