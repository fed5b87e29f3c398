"""Equal weights have the same artifact in every run, so that Kubeflow's cache has their results."""

import json

import pytest
import yaml
from kfp import dsl

from components.keep_model.component import keep_model
from dgunet.kubeflow.steps.kept_models import copy_kept_model, keep_model_files
from dgunet.kubeflow.steps.model_facts import record_model
from dgunet.system.errors import CheckpointError, ConfigError
from dgunet.system.files import sha256_file
from pipelines.generate import ROOT


@pytest.fixture
def volume(monkeypatch, tmp_path):
    """The folder for stores that all steps mount."""
    monkeypatch.setenv("DGUNET_STORES", str(tmp_path / "stores"))
    return tmp_path / "stores"


@pytest.fixture
def weights(tmp_path):
    """The weights of a finished training."""
    path = tmp_path / "out" / "network.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    (path.parent / "training.json").write_text('{"selection": "last", "loss_last": 0.5}')
    return path


def record(weights, code):
    """Record a training as its step does; returns the digest and the artifact's metadata."""
    model, metrics = dsl.Model(uri=str(weights.parent)), dsl.Metrics(uri="/nowhere")
    store = dsl.Dataset(uri="/nowhere", metadata={"digest": "d"})
    return record_model(weights, model, metrics, code_version=code, store=store), model.metadata


def test_equal_weights_of_two_trainings_are_one_model_with_the_facts_of_the_first(
    volume, weights, tmp_path
):
    first, metadata = record(weights, "1")
    (kept,) = (volume / "models").iterdir()
    before = kept.stat()
    again, _ = record(weights, "2")
    assert (first, kept.name) == (again, sha256_file(weights))
    assert kept.stat() == before and [*(volume / "models").iterdir()] == [kept]
    model = dsl.Model(uri=str(tmp_path / "model"))
    keep_model.python_func(checkpoint=first, model=model)
    assert (tmp_path / "model" / "network.safetensors").read_bytes() == b"weights"
    assert model.metadata == metadata
    assert model.metadata["code_version"] == "1" and model.metadata["checkpoint_sha256"] == first


def test_other_weights_are_another_model(volume, weights):
    first, _ = record(weights, "1")
    weights.write_bytes(b"others")
    second, _ = record(weights, "1")
    assert {path.name for path in (volume / "models").iterdir()} == {first, second}


@pytest.mark.parametrize("file", ["network.safetensors", "facts.json"])
def test_deleted_and_changed_weights_are_refused_and_written_by_the_next_training(
    volume, weights, tmp_path, file
):
    digest = keep_model_files(weights, {"selection": "last"})
    damaged = volume / "models" / digest / file
    damaged.unlink() if file == "facts.json" else damaged.write_bytes(b"weightS")
    with pytest.raises(CheckpointError, match=r"network\.safetensors was deleted or changed"):
        copy_kept_model(digest, tmp_path / "model")
    keep_model_files(weights, {"selection": "last"})
    assert copy_kept_model(digest, tmp_path / "model") == {"selection": "last"}


def test_without_a_folder_nothing_is_kept(monkeypatch, weights, tmp_path):
    monkeypatch.delenv("DGUNET_STORES", raising=False)
    digest = keep_model_files(weights, {})
    assert digest == sha256_file(weights)
    assert {path.name for path in weights.parent.iterdir()} == {
        "network.safetensors",
        "training.json",
    }
    with pytest.raises(ConfigError, match=r"folder for stores None\. Set stores: in the cluster"):
        copy_kept_model(digest, tmp_path / "model")


@pytest.mark.parametrize("digest", ["", "../../etc", "A" * 64])
def test_what_is_no_digest_is_refused(volume, tmp_path, digest):
    with pytest.raises(ConfigError, match="no weights can be read for the SHA-256"):
        copy_kept_model(digest, tmp_path / "model")


@pytest.mark.parametrize(("kind", "train"), [("cluster", "train"), ("nodes", "train-nodes")])
def test_evaluations_get_the_model_by_its_digest_alone(kind, train):
    """A cached step without artifacts as inputs has the same output in every run."""
    path = ROOT / "pipelines" / "compiled" / f"train_evaluate.{kind}.yaml"
    spec, _ = yaml.safe_load_all(path.read_text())
    tasks = {
        name: task
        for component in spec["components"].values()
        for name, task in component.get("dag", {}).get("tasks", {}).items()
    }
    kept = tasks["keep-model"]
    digest = {"taskOutputParameter": {"outputParameterKey": "Output", "producerTask": train}}
    assert kept["inputs"] == {"parameters": {"checkpoint": digest}}
    assert kept["cachingOptions"]["enableCache"]
    models = json.dumps([task["inputs"] for name, task in tasks.items() if name != "keep-model"])
    producers = [part for part in models.split('"producerTask": "')[1:] if part.startswith(train)]
    assert "keep-model-model" in models and not producers, "no step gets the model of the training"


def test_without_a_folder_that_steps_share_evaluations_get_the_model_of_the_training():
    spec = yaml.safe_load((ROOT / "pipelines" / "compiled" / "train_evaluate.yaml").read_text())
    assert "comp-keep-model" not in spec["components"]
