"""`dgunet pipeline doctor` against stand-ins for the Kubernetes API and an image registry."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from cluster_objects import (
    NAMESPACE,
    OWN,
    REVIEWS,
    TRAINER,
    Objects,
    ObjectsHandler,
    claim,
    good_cluster,
    login,
    named,
    node,
    quota,
)
from kubernetes_standin import standin

from dgunet.kubeflow.cluster.settings import Step, Trainer, load_cluster
from dgunet.kubeflow.doctor.access import account_of
from dgunet.kubeflow.doctor.checkup import Checkup
from dgunet.kubeflow.doctor.findings import problems
from dgunet.kubeflow.doctor.image import DIRTY, REVISION
from dgunet.kubeflow.doctor.reading import ClusterReader
from dgunet.kubeflow.doctor.registry import ImageName
from dgunet.kubeflow.doctor.services import check_mlflow
from dgunet.kubeflow.submission import pod_logs
from dgunet.kubeflow.submission.peak import Peak

ROOT = Path(__file__).parents[2]
COMMIT = "c" * 40
GPU = "nvidia.com/gpu"
RUNTIME = f"{TRAINER}/clustertrainingruntimes/dgunet-torch"
CLAIM = f"{OWN}/persistentvolumeclaims/dgunet-state"
MLFLOW = "/api/v1/namespaces/mlflow/services/mlflow"
LOCAL_REVIEWS = f"{REVIEWS}/namespaces/{NAMESPACE}/localsubjectaccessreviews"


@pytest.fixture(scope="module")
def server():
    with standin(ObjectsHandler, Objects) as state:
        yield state


@pytest.fixture
def there(server):
    """A cluster without a fault."""
    server.reset()
    server.objects |= good_cluster()
    return server


@pytest.fixture
def settings(there):
    """The documented cluster file, with TrainJobs and an image of this commit."""
    return load_cluster(ROOT / "pipelines" / "cluster.yaml").model_copy(
        update={
            "image": there.push({REVISION: COMMIT, DIRTY: "false"}),
            "trainer": Trainer(nodes=2, shared="/state/shared"),
        }
    )


@pytest.fixture
def examine(there, settings, monkeypatch):
    """Run all checks; returns the findings."""

    def call(**changes):
        cluster = settings.model_copy(update=changes)
        amounts = {"cpu": Decimal(96), "memory": Decimal(800 << 30), GPU: Decimal(32)}
        largest = {"cpu": Decimal(16), "memory": Decimal(128 << 30), GPU: Decimal(8)}
        needs = Peak(amounts | {"pods": Decimal(9)}, largest)
        reader = ClusterReader(there.api().api_client, NAMESPACE)
        return list(Checkup(reader, cluster, ROOT, needs).findings())

    # git knows the commit, from which no file differs.
    monkeypatch.setattr("dgunet.kubeflow.doctor.image.git_output", lambda *_, **more: "")
    return call


def one(findings, about):
    (found,) = [each for each in findings if re.fullmatch(about, each.about)]
    return found


def test_a_cluster_without_a_fault_has_one_line_for_each_check(examine, there):
    found = examine()
    assert [str(each) for each in problems(found)] == []
    abouts = [each.about for each in found]
    assert len(set(abouts)) == len(abouts) == 17
    states = {each.about: each.state for each in found if each.state != "ok"}
    mlflow = "MLflow at http://mlflow.mlflow.svc.cluster.local:5000"
    assert states == {mlflow: "unknown"}  # a pod reaches it, this machine does not
    assert "cannot be checked from here" in one(found, mlflow).text
    for each in found:
        assert "\n" not in each.text and "\n" not in each.hint
    assert one(found, "Kubernetes API").text == f"v1.34.1 at {there.url}"
    assert one(found, "secret mlflow-login").text == "there is none; it is optional"


def test_the_checks_change_nothing_and_show_no_secret(examine, there):
    text = "\n".join(map(str, examine()))
    assert "secret-word" not in text and "c2VjcmV0" not in text
    writes = {path for method, path in there.asked if method != "GET"}
    assert writes == {f"{REVIEWS}/selfsubjectaccessreviews", LOCAL_REVIEWS}


def gone(path):
    return lambda there: there.objects.pop(path)


def put(path, content):
    return lambda there: there.objects.update({path: content})


def denied(account, *what):
    return lambda there: there.denied.update({account: what})


def secret(*keys):
    path = f"{OWN}/secrets/s3-credentials"
    return put(path, named("s3-credentials", data=dict.fromkeys(keys, "c2VjcmV0LXdvcmQ=")))


def nodes(*items):
    return put("/api/v1/nodes", {"items": list(items)})


def labelled(**labels):
    return node(**{"nvidia.com/gpu.product": "Tesla-V100"} | labels)


PROBLEMS = [
    (gone(OWN), "namespace", "no namespace team"),
    (gone(f"{OWN}/serviceaccounts/pipeline-runner"), "service account .*", "none in team"),
    (gone(f"{OWN}/secrets/s3-credentials"), "secret s3-credentials", "none in team"),
    (secret("access-key", "other"), "secret s3-credentials", "lacks secret-key; it has access-key"),
    (gone(CLAIM), "claim dgunet-state", "none in team"),
    (put(CLAIM, claim("20Gi")), "claim dgunet-state", "has 20Gi, the cluster file says 500Gi"),
    (put(CLAIM, claim(mode="ReadWriteOnce")), "claim dgunet-state", "cannot share it"),
    (put(CLAIM, claim(phase="Lost")), "claim dgunet-state", "lost"),
    (
        put(f"{OWN}/resourcequotas", quota(**{"requests_nvidia.com/gpu": "4"})),
        "quota runs",
        "requests.nvidia.com/gpu is 4, one pod needs 8",
    ),
    (
        put(f"{OWN}/resourcequotas", quota(limits_memory="64Gi")),
        "quota runs",
        "limits.memory is 64Gi, one pod needs 128Gi",
    ),
    (gone(TRAINER), "trainer.kubeflow.org/v1alpha1", "no Kubeflow Trainer v2"),
    (
        put(f"/openapi/v3{TRAINER}", {"components": {}}),
        "trainer.kubeflow.org/v1alpha1",
        "older than 2.2",
    ),
    (gone(RUNTIME), "runtime dgunet-torch", "no such ClusterTrainingRuntime"),
    (denied("pipeline-runner", "create trainjobs"), "permissions of .*", "create trainjobs"),
    (gone(MLFLOW), "MLflow at .*", "no service mlflow in the namespace mlflow"),
    (
        put(MLFLOW, named("mlflow", spec={"ports": [{"port": 80}]})),
        "MLflow at .*",
        "has the ports 80, not 5000",
    ),
]


@pytest.mark.parametrize(("change", "about", "text"), PROBLEMS)
def test_each_fault_is_one_problem_with_a_hint(examine, there, change, about, text):
    change(there)
    found = problems(examine())
    assert found and all(re.fullmatch(about, each.about) for each in found), list(map(str, found))
    assert all(text in each.text and each.hint for each in found)


WARNINGS = [
    (nodes(labelled()), "GPU nodes for train", "not NVIDIA-A100-SXM4-80GB"),
    (nodes(node(gpus="4")), "GPU nodes for train", "gpu-1 has 4 x nvidia.com/gpu"),
    (nodes(node(taint="other")), "GPU nodes for .*", "other=present:NoSchedule"),
    (denied("", "get pods/log"), "your permissions", "not allowed: get pods/log"),
    (put(CLAIM, claim(phase="Pending")), "claim dgunet-state", "not bound yet"),
    (
        put(
            f"{OWN}/resourcequotas",
            quota({"requests.nvidia.com/gpu": "40"}, **{"requests_nvidia.com/gpu": "64"}),
        ),
        "quota runs",
        "requests.nvidia.com/gpu is 64 and 40 used, at a time 32",
    ),
    (put(f"{OWN}/resourcequotas", quota(cpu="64")), "quota runs", "cpu is 64, at a time 101"),
]


@pytest.mark.parametrize(("change", "about", "text"), WARNINGS)
def test_what_a_run_can_do_without_is_a_warning(examine, there, change, about, text):
    change(there)
    found = examine()
    assert problems(found) == []
    warned = [each for each in found if each.state == "warning"]
    assert warned and all(re.fullmatch(about, each.about) for each in warned)
    assert all(text in each.text and each.hint for each in warned)


def test_a_user_of_a_namespace_gets_a_line_for_what_he_may_not_read(examine, there):
    closed = (OWN, "/api/v1/nodes", MLFLOW, RUNTIME, LOCAL_REVIEWS)
    there.forbidden = {*closed, f"{OWN}/resourcequotas", f"{OWN}/secrets/s3-credentials"}
    found = examine()
    assert problems(found) == []
    refused = [each.about for each in found if "not allowed" in each.text]
    assert refused == [
        *("namespace", "secret s3-credentials", "quota", "GPU nodes", "runtime dgunet-torch"),
        *("permissions of pipeline-runner", "MLflow"),
    ]
    assert all(each.state == "unknown" for each in found if each.about in refused)
    hint = one(found, "permissions of .*").hint
    assert "--as system:serviceaccount:team:pipeline-runner" in hint


def test_nothing_more_is_asked_of_an_api_that_does_not_respond(examine, there):
    there.objects.pop("/version")
    found = examine()
    assert [each.about for each in problems(found)] == ["Kubernetes API"]
    assert [path for _, path in there.asked if not path.startswith("/v2/")] == ["/version"]


def test_expired_credentials_are_one_problem_of_the_api(examine, there):
    there.expired = True
    found = examine()
    assert "not accepted (401" in problems(found)[0].text
    assert [each.about for each in problems(found)] == ["Kubernetes API"]
    assert [path for _, path in there.asked if path.startswith("/api")] == [OWN]


def test_a_quota_of_a_scope_is_not_compared(examine, there):
    there.objects[f"{OWN}/resourcequotas"] = quota(pods="1")
    there.objects[f"{OWN}/resourcequotas"]["items"][0]["spec"]["scopes"] = ["BestEffort"]
    assert one(examine(), "quota runs").state == "unknown"


@pytest.mark.parametrize(
    ("given", "namespace", "expected"),
    [
        (None, "kubeflow", "pipeline-runner"),
        (None, "team", "default-editor"),
        ("own", "team", "own"),
    ],
)
def test_without_a_service_account_it_is_that_of_kubeflow(settings, given, namespace, expected):
    cluster = settings.model_copy(update={"service_account": given})
    assert account_of(cluster, namespace) == expected


def test_the_images_of_single_steps_are_checked_too(examine, there, settings):
    other = "127.0.0.1:9/lab/other@sha256:" + "1" * 64
    steps = dict(settings.steps) | {"tables": Step(image=other)}
    abouts = [each.about for each in examine(steps=steps) if each.about.startswith("image")]
    assert abouts == [f"image {name.partition('@')[0]}" for name in (settings.image, other)]


@pytest.mark.parametrize("index", [False, True])
def test_an_image_with_several_platforms_has_the_labels_of_its_own(examine, there, index):
    image = there.push({REVISION: "unknown"}, index=index)
    (code,) = [each for each in examine(image=image) if each.about.startswith("code of")]
    assert code.state == "warning" and "has no commit" in code.text


def test_an_image_with_other_code_is_a_problem(examine, there, monkeypatch):
    there.reset()
    image = there.push({REVISION: COMMIT})
    there.objects |= good_cluster()
    differs = lambda *words, **_: "dgunet/terms.py\ndgunet/project.py" if "diff" in words else ""  # noqa: E731
    monkeypatch.setattr("dgunet.kubeflow.doctor.image.git_output", differs)
    (found,) = problems(examine(image=image))
    assert "2 files differ, e.g. dgunet/terms.py" in found.text
    other = there.push({REVISION: "d" * 40})
    monkeypatch.setattr("dgunet.kubeflow.doctor.image.git_output", lambda *_, **more: None)
    (code,) = [each for each in examine(image=other) if each.about.startswith("code of")]
    assert code.state == "warning" and "this clone does not have" in code.text


def test_an_image_that_the_registry_does_not_have_or_changed_is_a_problem(examine, there):
    image = there.push({})
    path = f"/v2/lab/dgunet/manifests/{image.partition('@')[2]}"
    there.objects[path] += b" "
    (found,) = problems(examine(image=image))
    assert "other content" in found.text
    there.objects.pop(path)
    (found,) = problems(examine(image=image))
    assert "has no lab/dgunet@sha256:" in found.text and "Push it" in found.hint
    (found,) = problems(examine(image=re.sub("sha256:.*", "sha256:" + "0" * 64, image)))
    assert "placeholder" in found.text
    away = examine(image="127.0.0.1:9/lab/dgunet@sha256:" + "1" * 64)
    assert problems(away) == [] and "cannot be checked from here" in one(away, "image .*").text


def test_the_registry_gets_the_pull_secrets_login_for_a_token(examine, there):
    image = there.push({REVISION: "unknown"})
    there.login = "Bearer a-token"
    there.objects["/token"] = {"token": "a-token"}
    assert problems(examine(image=image)) == []  # a registry that gives tokens to everybody
    path = f"{OWN}/secrets/registry-login"
    kind = "kubernetes.io/dockerconfigjson"
    data = login(image.partition("/")[0])
    there.objects[path] = named("registry-login", type=kind, data=data)
    there.logins.clear()
    found = examine(image=image, pull_secrets=["registry-login"])
    assert problems(found) == [] and one(found, "pull secret .*").state == "ok"
    basic = there.logins[0]
    assert basic.startswith("Basic ") and there.logins[1:] == ["Bearer a-token"] * 2
    there.forbidden.add("/token")
    without = one(examine(image=image), "image .*")  # nodes may have a login of their own
    assert without.state == "unknown" and "without a login (403)" in without.text
    (refused,) = problems(examine(image=image, pull_secrets=["registry-login"]))
    assert "with the pull secret (403)" in refused.text
    there.objects[path]["type"] = "Opaque"
    assert "type Opaque" in one(examine(pull_secrets=["registry-login"]), "pull secret .*").text


@pytest.mark.parametrize(
    ("image", "base"),
    [
        ("dgunet@sha256:1", "https://registry-1.docker.io/v2/library/dgunet"),
        ("lab/dgunet:2@sha256:1", "https://registry-1.docker.io/v2/lab/dgunet"),
        ("ghcr.io/lab/dgunet@sha256:1", "https://ghcr.io/v2/lab/dgunet"),
        ("r.example.org:5000/a/b:1.0@sha256:1", "https://r.example.org:5000/v2/a/b"),
    ],
)
def test_the_address_of_an_image(image, base):
    assert ImageName.parse(image).base == base


def test_an_mlflow_server_outside_is_asked_for_its_health(examine, there):
    there.objects["/health"] = b"OK"
    found = one(examine(environment={"MLFLOW_TRACKING_URI": there.url}), "MLflow at .*")
    assert (found.state, found.text) == ("ok", "responds")
    there.objects["/health"] = b"<html>"
    found = one(examine(environment={"MLFLOW_TRACKING_URI": there.url}), "MLflow at .*")
    assert (found.state, found.text) == ("warning", "what responds is not MLflow")
    found = one(examine(environment={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}), "MLflow.*")
    assert found.state == "unknown" and "cannot be checked from here" in found.text
    assert one(examine(environment={}), "MLflow").state == "warning"


def test_in_a_pod_the_server_itself_is_asked_by_its_name_in_the_cluster(there, settings):
    there.objects.pop(MLFLOW)
    reader = ClusterReader(there.api().api_client, NAMESPACE)
    (found,) = check_mlflow(reader, settings, inside=True)
    assert found.state == "unknown" and "no response" in found.text  # not: there is no service
    assert there.asked == []


@pytest.fixture
def doctor(dgunet, there, settings, cluster_file, monkeypatch, compiled_once):
    """The command, with the stand-in in place of a kubeconfig."""
    text = cluster_file.read_text()
    image = there.push({REVISION: "unknown"})
    cluster_file.write_text(re.sub("(?m)^image: .*", f"image: {image}", text))
    monkeypatch.setattr(pod_logs, "connect", lambda context=None: there.api())

    def call(command, *more):
        data = ("-p", "data_source=https://git.example.org/x.git", "-p", "data_version=" + "c" * 40)
        weights = ("-p", "weights=s3://models/derain.pth", "-p", f"weights_sha256={'a' * 64}")
        common = ("evaluate_checkpoint", "--cluster", cluster_file, "--namespace", NAMESPACE)
        return dgunet("pipeline", command, *common, *data, *weights, *more)

    return call


def test_the_command_prints_all_findings_and_fails_for_a_problem(doctor, there, stand_in):
    done = doctor("doctor", "--host", stand_in.host)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok       Kubeflow Pipelines: {stand_in.host} responds" in done.stdout
    assert re.search(r"^\d+ ok, 1 warning, 1 unknown$", done.stdout, re.MULTILINE)
    there.objects.pop(CLAIM)
    failed = doctor("doctor")
    assert failed.returncode == 1
    assert "problem  claim dgunet-state: there is none in team\n         Apply" in failed.stdout
    assert "no pipelines server is given" in failed.stdout


def test_a_submission_checks_the_cluster_first(doctor, there, stand_in):
    there.objects.pop(CLAIM)
    refused = doctor("submit", "--host", stand_in.host)
    assert refused.returncode == 1 and not stand_in.runs and not stand_in.pipelines
    assert "the run would fail: claim dgunet-state: there is none in team." in refused.stderr
    skipped = doctor("submit", "--host", stand_in.host, "--skip-checks")
    assert skipped.returncode == 0 and len(stand_in.runs) == 1, skipped.stderr
    there.objects |= good_cluster()
    checked = doctor("submit", "--host", stand_in.host)
    assert checked.returncode == 0 and len(stand_in.runs) == 2, checked.stderr
    assert re.search(r"^checks   \d+ ok, 1 warning, 1 unknown; ", checked.stdout, re.MULTILINE)
    there.objects.pop("/version")  # the pipelines server may be reachable all the same
    assert doctor("submit", "--host", stand_in.host).returncode == 0


def test_a_submission_without_a_kubeconfig_is_not_checked(doctor, there, stand_in, monkeypatch):
    def nowhere(context=None):
        raise pod_logs.NoClusterError("no valid kubeconfig.")

    monkeypatch.setattr(pod_logs, "connect", nowhere)
    without = doctor("submit", "--host", stand_in.host)
    assert without.returncode == 0 and "skipped: no valid kubeconfig" in without.stdout
