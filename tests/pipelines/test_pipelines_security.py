"""Every pod that dgunet makes passes the Pod Security profile "restricted"."""

import copy
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from pod_security import violations

from dgunet.kubeflow.cluster.settings import Security, Trainer, load_cluster
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from dgunet.kubeflow.pipeline.compiling import compile_pipeline, documents
from dgunet.kubeflow.trainer.trainjob import TrainJobPlan, manifest
from pipelines import PIPELINES

ROOT = Path(__file__).parents[2]

KUBEFLOW = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What Kubeflow Pipelines 2.17 sets on every step by itself, by its documentation."""


@pytest.fixture
def cluster():
    return load_cluster(ROOT / "pipelines" / "cluster.yaml")


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("trainer", [None, Trainer(nodes=1, shared="/state/shared")])
def test_every_step_on_a_cluster_is_restricted(cluster, name, trainer):
    settings = cluster.model_copy(update={"trainer": trainer, "parts": {"Rain100H": 2}})
    document, pods = documents(compile_pipeline(PIPELINES[name], settings))
    executors = document["deploymentSpec"]["executors"]
    assert len(executors) >= 5 and "exec-evaluate-part" in executors
    for executor in executors:
        assert violations(pod_of(pods[executor])) == [], executor
        without = {key: value for key, value in pods[executor].items() if key != "securityContext"}
        assert violations(pod_of(without)) == ["main: runAsNonRoot is not true"]


def pod_of(settings):
    """The pod that Kubeflow makes of an executor's Kubernetes settings."""
    context = KUBEFLOW | settings.get("securityContext", {})
    volumes = [{"name": v["mountPath"], "persistentVolumeClaim": v} for v in settings["pvcMount"]]
    shm = settings.get("emptyDirMounts", ())
    volumes += [{"name": each["volumeName"], "emptyDir": each} for each in shm]
    return {"containers": [{"name": "main", "securityContext": context}], "volumes": volumes}


def test_the_user_of_the_cluster_file_is_that_of_every_pod(cluster):
    settings = cluster.model_copy(update={"security": Security(user=2000, group=3000)})
    _, pods = documents(compile_pipeline(PIPELINES["ablations"], settings))
    wanted = {"runAsUser": "2000", "runAsGroup": "3000", "runAsNonRoot": True}
    assert all(settings["securityContext"] == wanted for settings in pods.values())
    trainer = Trainer(nodes=1, shared="/state/shared")
    placement = TaskPlacement(settings.model_copy(update={"trainer": trainer}))
    of_nodes = {"runAsUser": 2000, "runAsGroup": 3000, "fsGroup": 3000}
    assert placement.trainer("train")["security"] == of_nodes
    without = TaskPlacement(cluster.model_copy(update={"trainer": trainer}))
    assert without.trainer("train")["security"] == {}


@pytest.fixture
def runtime():
    return yaml.safe_load((ROOT / "deploy" / "cluster" / "runtime.yaml").read_text())


def node_of(runtime):
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("security", [{}, {"runAsUser": 2000, "fsGroup": 2000}])
def test_the_nodes_of_a_trainjob_are_restricted(runtime, security):
    forwarded = {
        "volumes": [{"name": "state", "persistentVolumeClaim": {"claimName": "dgunet-state"}}],
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }
    plan = TrainJobPlan("j", "i@sha256:0", ("dgunet",), 1, "dgunet-torch", security=security)
    patch = manifest(plan, forwarded)["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]
    (job,) = patch["template"]["spec"]["replicatedJobs"]
    changes = job["template"]["spec"]["template"]["spec"]
    pod = copy.deepcopy(node_of(runtime))
    pod["volumes"] = pod["volumes"] + changes["volumes"]
    pod["securityContext"] |= changes.get("securityContext", {})
    pod["containers"][0]["volumeMounts"] += changes["containers"][0]["volumeMounts"]
    assert violations(pod) == []
    assert pod["securityContext"]["fsGroup"] == security.get("fsGroup", 1000)
    (node,) = pod["containers"]
    assert node["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["mountPath"] for mount in node["volumeMounts"]} == {"/tmp", "/state"}


def test_the_pod_of_the_calibration_is_restricted_and_prints_a_file_that_plans_read(tmp_path):
    pod = yaml.safe_load((ROOT / "deploy" / "calibrate.yaml").read_text())["spec"]
    assert violations(pod) == []
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    (script,) = container["args"]
    assert script.startswith("dgunet calibrate --seconds 120 --device cuda --out /tmp/machine.json")
    stand_in = tmp_path / "dgunet"
    script = script.replace("/tmp/", f"{tmp_path}/")
    path = f"{tmp_path}:{os.environ['PATH']}"
    for status in (0, 1):
        stand_in.write_text(f"#!/bin/sh\necho told >&2\necho {{}} > $7\nexit {status}\n")
        stand_in.chmod(0o755)
        command = [*container["command"], script]
        done = subprocess.run(
            command, env={"PATH": path}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == ((0, "{}\n"), (1, "told\n"))[status]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("securityContext", "runAsNonRoot"), False, "node: runAsNonRoot is not true"),
        (("securityContext", "runAsUser"), 0, "node: runAsUser is 0"),
        (("securityContext", "seccompProfile"), {}, "node: seccompProfile is not RuntimeDefault"),
        (("hostNetwork",), True, "hostNetwork is set"),
        (("volumes",), [{"name": "x", "hostPath": {"path": "/"}}], "volume x: hostPath"),
    ],
)
def test_the_check_finds_a_violation(runtime, path, value, expected):
    pod = at = node_of(runtime)
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert violations(pod) == [expected]
