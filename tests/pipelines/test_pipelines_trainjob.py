"""The TrainJob is built from the forwarded settings and refused if a field is wrong."""

import copy
import os
from pathlib import Path

import pytest
import yaml
from kubeflow_trainer_api import models as k8s
from pydantic import ValidationError

from dgunet.kubeflow.trainer.strict_models import Constraints, StrictModels
from dgunet.kubeflow.trainer.trainjob import (
    TrainJobPlan,
    dropped_fields,
    job_name,
    manifest,
    on_a_volume,
)
from dgunet.kubeflow.trainer.trainjob_schema import checked_pod_settings, checked_trainjob
from dgunet.system.errors import ConfigError

ROOT = Path(__file__).parents[2]
IMAGE = "registry.example.org/dgunet@sha256:" + "0" * 64

FORWARDED = {
    "resources": {
        "limits": {"cpu": "16", "memory": "128Gi", "nvidia.com/gpu": 8},
        "requests": {"cpu": "16", "memory": "128Gi"},
    },
    "env": [
        {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"},
        {"name": "DGUNET_HOME", "value": "/state"},
        {
            "name": "AWS_SECRET_ACCESS_KEY",
            "valueFrom": {"secretKeyRef": {"name": "s3", "key": "secret-key", "optional": False}},
        },
        {
            "name": "KFP_RUN_ID",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['pipeline/runid']"}},
        },
    ],
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                ]
            }
        }
    },
    "volumes": [
        {"name": "dgunet-state", "persistentVolumeClaim": {"claimName": "dgunet-state"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "32Gi"}},
    ],
    "volumeMounts": [
        {"name": "dgunet-state", "mountPath": "/state"},
        {"name": "shm", "mountPath": "/dev/shm"},
    ],
}
PLAN = TrainJobPlan(
    name=job_name("run-1", "cs-r10-DGUNet+"),
    image=IMAGE,
    command=("dgunet", "train", "cs", "--ratio", "10"),
    nodes=2,
    runtime="dgunet-torch",
    variables={"DGUNET_HOME": "/state/home", "KFP_RUN_ID": "run-1"},
    labels={"dgunet/campaign": "run-1", "kueue.x-k8s.io/queue-name": "gpu"},
    annotations={"note": "any text"},
    pull_secrets=("registry-login",),
    owners=({"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "u"},),
    deadline=86400,
)


def forwarded(**changes):
    return checked_pod_settings(FORWARDED | changes, "TaskConfig")


@pytest.fixture
def job():
    return manifest(PLAN, forwarded())


def patched_pod(job):
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert replicated["name"] == "node"
    return replicated["template"]["spec"]["template"]


def test_the_forwarded_task_settings_reach_the_nodes(job):
    trainer, pod = job["spec"]["trainer"], patched_pod(job)["spec"]
    assert job["spec"]["runtimeRef"]["name"] == "dgunet-torch"
    assert (trainer["numNodes"], trainer["numProcPerNode"], trainer["image"]) == (2, 8, IMAGE)
    assert trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "8"
    assert trainer["args"][:3] == ["dgunet", "train", "cs"]
    variables = {each["name"]: each for each in trainer["env"]}
    assert variables["DGUNET_HOME"]["value"] == "/state/home"
    assert variables["KFP_RUN_ID"] == {"name": "KFP_RUN_ID", "value": "run-1"}
    assert "value" not in variables["AWS_SECRET_ACCESS_KEY"]
    for name in ("tolerations", "nodeSelector", "affinity", "volumes"):
        assert pod[name] == FORWARDED[name]
    assert pod["containers"] == [{"name": "node", "volumeMounts": FORWARDED["volumeMounts"]}]
    assert pod["imagePullSecrets"] == [{"name": "registry-login"}]
    assert "podSpecOverrides" not in str(job) and "podTemplateOverrides" not in str(job)


def test_kueue_queues_the_job_and_not_each_of_its_pods(job):
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu"
    assert patched_pod(job)["metadata"]["labels"] == {"dgunet/campaign": "run-1"}


def test_processes_per_node_default_to_one_without_gpus_and_can_be_set():
    cpus = forwarded(resources={"limits": {"cpu": "16"}})
    assert manifest(PLAN, cpus)["spec"]["trainer"]["numProcPerNode"] == 1
    named = TrainJobPlan(**{**vars(PLAN), "processes": 4})
    assert manifest(named, forwarded())["spec"]["trainer"]["numProcPerNode"] == 4


def test_a_volume_mounted_twice_gets_two_names():
    """Mounts in a patch are identified by the name of the volume."""
    mounts = [
        {"name": "dgunet-state", "mountPath": "/state", "subPath": "a"},
        {"name": "dgunet-state", "mountPath": "/data", "subPath": "b", "readOnly": True},
    ]
    pod = patched_pod(manifest(PLAN, forwarded(volumeMounts=mounts)))["spec"]
    names = [each["name"] for each in pod["containers"][0]["volumeMounts"]]
    assert names == ["dgunet-state", "dgunet-state-2"]
    claims = {v["name"]: v.get("persistentVolumeClaim") for v in pod["volumes"]}
    assert claims["dgunet-state-2"] == claims["dgunet-state"] == {"claimName": "dgunet-state"}


def test_job_names_are_deterministic_unique_and_valid():
    assert job_name("run-1", "cs-r10-DGUNet+") == job_name("run-1", "cs-r10-DGUNet+")
    made = {
        job_name(run, key)
        for run in ("run-1", "run-2", "")
        for key in ("derain-DGUNet", "derain-DGUNet+", "cs-r10-DGUNet+", "x" * 100)
    }
    assert len(made) == 12 and max(map(len, made)) <= 47
    assert job_name("run-1", "cs-r10-DGUNet+").startswith("dgunet-cs-r10-dgunet-plus-")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.podSpecOverrides", [], "spec.podSpecOverrides is not a field"),
        ("spec.runtimePatch", [], "did you mean runtimePatches?"),
        ("spec.trainer.numNodes", "2", "spec.trainer.numNodes is '2', allowed: a valid integer"),
        ("spec.trainer.num_nodes", 2, "spec.trainer.num_nodes is not a field"),
        ("spec.trainer.numNodes", 0, "spec.trainer.numNodes is 0"),
        ("spec.trainer.args", "train", "spec.trainer.args is 'train'"),
        ("spec.trainer.resourcesPerNode.limits.memory", "128 GB", "limits.memory is '128 GB'"),
        ("spec.trainer.env.0.valueFrom", {"secretKeyRef": {"key": "k"}}, "secretKeyRef.name is m"),
        ("spec.trainer.env.0.name", "PET_NNODES", "spec.trainer: env contains PET_NNODES"),
        ("spec.trainer.env.0.name", "DGUNET_HOME", "DGUNET_HOME more than once"),
        ("spec.runtimeRef", {}, "spec.runtimeRef.name is missing"),
        ("metadata.name", "Deraining", "metadata.name is 'Deraining'"),
        ("metadata.name", "1-deraining", "metadata.name is '1-deraining'"),
        ("metadata.name", "x" * 48, "at most 47 characters"),
        ("metadata.labels", {"a b": "c"}, "metadata.labels.a b"),
        ("spec.runtimePatches.0.manager", "me", "spec.runtimePatches[0].manager is 'me'"),
        ("apiVersion", "trainer.kubeflow.org/v2", "apiVersion is 'trainer.kubeflow.org/v2'"),
    ],
)
def test_a_wrong_field_is_refused_with_its_path(job, path, value, expected):
    put(job, path, value)
    with pytest.raises(ConfigError) as refusal:
        checked_trainjob(job)
    assert expected in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("volumes.0.hostPath", {"path": "/"}, "volumes[0].hostPath is not a field"),
        ("volumes.0.emptyDir", {}, "volumes[0]: exactly one of persistentVolumeClaim"),
        ("containers.0.volumeMounts.0.name", "other", "the mount other of node has no volume"),
        ("containers.0.env", [], "containers[0].env is not a field"),
        ("tolerations.0.effect", "Never", "tolerations[0].effect is 'Never'"),
        ("nodeSelector.zone", 1, "nodeSelector.zone is 1"),
    ],
)
def test_a_wrong_field_in_the_runtime_patch_is_refused_with_its_path(job, path, value, expected):
    put(patched_pod(job)["spec"], path, value)
    with pytest.raises(ConfigError) as refusal:
        checked_trainjob(job)
    assert expected in str(refusal.value)
    assert "spec.runtimePatches[0].trainingRuntimeSpec.template.spec" in str(refusal.value)


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(types={k8s.IoK8sApiCoreV1Toleration: {"efect": str}}),
        Constraints(known={k8s.IoK8sApiCoreV1Toleration: ("key", "efect")}),
    ],
)
def test_a_constraint_on_an_unknown_field_raises(constraints):
    with pytest.raises(TypeError, match="efect"):
        StrictModels(constraints).of(k8s.IoK8sApiCoreV1Toleration)


def test_fields_of_the_generated_models_need_no_retyping():
    strict = StrictModels(Constraints()).of(k8s.TrainerV1alpha1TrainJob)
    job = {"spec": {"runtimeRef": {"name": "r"}, "managedBy": "kueue.x-k8s.io/multikueue"}}
    assert strict.model_validate(job).model_dump(by_alias=True, exclude_none=True) == job
    with pytest.raises(ValidationError, match="extra_forbidden"):
        strict.model_validate({"spec": job["spec"] | {"podSpecOverrides": []}})


def put(at, path, value):
    *parents, key = path.split(".")
    for parent in parents:
        at = at[int(parent)] if isinstance(at, list) else at[parent]
    at[key] = value


def test_dropped_fields_are_found_and_added_fields_are_ignored(job):
    made = copy.deepcopy(job)
    made["spec"]["suspend"] = False
    made["metadata"]["uid"] = "u"
    made["spec"]["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] = 8
    made["spec"]["runtimePatches"].insert(0, {"manager": "kueue.x-k8s.io/manager"})
    assert dropped_fields(job, made) == []
    del patched_pod({"spec": {"runtimePatches": made["spec"]["runtimePatches"][1:]}})["spec"][
        "tolerations"
    ]
    made["spec"]["trainer"]["env"].pop(0)
    lost = dropped_fields(job, made)
    pods, variables = sorted(lost, key=lambda field: "env" in field)
    assert pods.endswith("template.spec.tolerations") and "spec.trainer.env[0]" in variables
    del made["spec"]["runtimePatches"]
    assert "spec.runtimePatches" in dropped_fields(job, made)


@pytest.mark.parametrize(
    ("path", "known"),
    [("/state/shared", True), ("/state", True), ("/statement", False), ("/dev/shm/x", False)],
)
def test_only_paths_on_volume_claims_are_shared_by_all_nodes(path, known):
    assert on_a_volume(path, forwarded()) is known


def test_the_shipped_runtime_has_the_parts_that_a_patch_names():
    runtime = yaml.safe_load((ROOT / "deploy" / "cluster" / "runtime.yaml").read_text())
    assert runtime["metadata"]["name"] == "dgunet-torch"
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    spec = node["template"]["spec"]["template"]["spec"]
    assert (node["name"], spec["containers"][0]["name"]) == ("node", "node")
    assert spec["restartPolicy"] == "Never" and node["template"]["spec"]["backoffLimit"] == 0
    assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]


CRDS = Path(os.environ.get("DGUNET_BENCHMARKS", "/nowhere")).parent / "reference" / "crd"
with_crds = pytest.mark.skipif(
    not CRDS.is_dir(), reason="needs Trainer's CRDs in ../reference/crd next to DGUNET_BENCHMARKS"
)


@pytest.fixture(scope="module")
def crd():
    """Validators of the CRDs: strict JSON schema and, with cel-python, CEL rules."""
    from crd_schema import Crd

    return {
        kind: Crd(CRDS / f"trainer_{kind.lower()}s.yaml")
        for kind in ("TrainJob", "ClusterTrainingRuntime")
    }


@with_crds
def test_the_real_crd_accepts_every_field(crd, job):
    assert crd["TrainJob"].errors(job) == []
    runtime = yaml.safe_load((ROOT / "deploy" / "cluster" / "runtime.yaml").read_text())
    assert crd["ClusterTrainingRuntime"].errors(runtime) == []


@with_crds
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.podSpecOverrides", [], "podSpecOverrides"),
        ("spec.trainer.numNodes", "2", "spec.trainer.numNodes"),
        ("spec.trainer.immage", "x", "immage"),
        ("spec.runtimeRef", {}, "'name' is a required property"),
        ("metadata.name", "Upper", "RFC 1035"),
        ("metadata.name", "x" * 64, "63 characters"),
    ],
)
def test_the_real_crd_refuses_the_same_mistakes(crd, job, path, value, expected):
    put(job, path, value)
    if path == "metadata.name":
        pytest.importorskip("celpy", reason="CEL rules need cel-python (extra: integration)")
    assert any(expected in error for error in crd["TrainJob"].errors(job))
    with pytest.raises(ConfigError):
        checked_trainjob(job)
