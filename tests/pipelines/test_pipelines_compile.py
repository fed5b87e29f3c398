"""The pipeline compiles to IR that Kubeflow's own schema accepts, and installs nothing."""

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from pipelines.train_evaluate import train_evaluate


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("ir") / "pipeline.yaml"
    compiler.Compiler().compile(train_evaluate, str(path))
    return yaml.safe_load(path.read_text())


def test_the_schema_knows_every_field(spec):
    parsed = json_format.ParseDict(spec, PipelineSpec())
    assert parsed.pipeline_info.name == "dgunet-train-evaluate"


def test_the_steps_and_their_order(spec):
    tasks = spec["root"]["dag"]["tasks"]
    assert set(tasks) == {"prepare", "train", "for-loop-1", "tables"}
    assert tasks["train"]["dependentTasks"] == ["prepare"]
    assert tasks["for-loop-1"]["dependentTasks"] == ["train"]
    assert tasks["tables"]["dependentTasks"] == ["for-loop-1"]


def test_containers_install_nothing_and_use_our_image(spec):
    executors = spec["deploymentSpec"]["executors"]
    assert executors
    for executor in executors.values():
        assert executor["container"]["image"] == "dgunet:local"
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_artifacts_are_typed(spec):
    outputs = spec["components"]["comp-train"]["outputDefinitions"]["artifacts"]
    kinds = {name: entry["artifactType"]["schemaTitle"] for name, entry in outputs.items()}
    assert kinds == {"model": "system.Model", "metrics": "system.Metrics"}
