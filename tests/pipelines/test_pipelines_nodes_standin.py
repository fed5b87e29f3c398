"""Training over several nodes against a stand-in for the Kubernetes API, without a cluster."""

import os
import signal

import pytest
import yaml
from kfp import dsl
from kubernetes_standin import becomes, ended, pod
from nodes_step import KEY

from dgunet.kubeflow.trainer.api import ClusterError, TrainJobs, UnreachableError
from dgunet.kubeflow.trainer.multi_node import train_on_nodes
from dgunet.kubeflow.trainer.shared_volume import SharedFolders
from dgunet.kubeflow.trainer.trainjob import job_name
from dgunet.system import files
from dgunet.system.errors import ConfigError


def test_standin_a_job_is_created_watched_collected_and_deleted(step, capfd):
    cluster = step.cluster

    def starts(job):
        assert (step.shared / "stores").is_dir()
        assert step.folders.params.read_text() == "text: of params\n"
        cluster.pods = [pod(0), pod(1)]
        cluster.logs["job-node-0-0-abcde"] = [("2026-01-01T00:00:00Z", "step 1 of 2")]

    def finishes(job):
        step.trains(job)
        cluster.pods = [ended(0, 0, "Completed"), ended(1, 0, "Completed")]
        becomes("Complete")(job)

    cluster.moments = [lambda job: None, starts, lambda job: None, finishes]
    weights = step.run()
    assert weights.read_bytes() == b"weights" and (step.out / "loss.csv").is_file()
    assert cluster.deleted == [step.name] and not step.folders.folder.exists()
    output = capfd.readouterr().err
    for line in ("started on 2 nodes", "no pods yet", "2 nodes: 2 Running", "step 1 of 2"):
        assert line in output
    (job,) = cluster.created
    assert job["metadata"]["labels"] == {
        "dgunet/campaign": "run-1",
        "dgunet/network": KEY,
        "dgunet/run": "run-1",
    }
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], "controller" in owner) == ("Workflow", "u-1", False)
    args = job["spec"]["trainer"]["args"]
    paths = [args[args.index(name) + 1] for name in ("--params", "--store", "--out")]
    assert all(path.startswith(str(step.shared)) for path in paths)
    home = {e["name"]: e.get("value") for e in job["spec"]["trainer"]["env"]}["DGUNET_HOME"]
    assert home.startswith(str(step.shared)), (
        "a home folder that the nodes do not share is not used"
    )


def test_standin_later_networks_reuse_the_uploaded_store(step):
    there = SharedFolders(step.shared, "one").upload("a", step.store)
    before = (there / "manifest.json").stat().st_mtime_ns
    assert SharedFolders(step.shared, "two").upload("b", step.store) == there
    assert (there / "manifest.json").stat().st_mtime_ns == before
    shard = next(path for path in there.iterdir() if path.name != "manifest.json")
    shard.write_bytes(b"")
    SharedFolders(step.shared, "three").upload("c", step.store)
    assert shard.stat().st_size, "a damaged copy is replaced"


def test_standin_a_retried_step_continues_the_running_job(step, capfd):
    class Killed(BaseException):
        pass

    def dies(job):
        raise Killed

    first = TrainJobs(step.cluster.api(), "runs")
    first.delete = lambda name: None  # a killed step deletes nothing
    first.find = dies
    with pytest.raises(Killed):
        train_on_nodes(step.training, step.nodes, step.config, first)
    step.cluster.moments = [step.trains, becomes("Complete")]
    step.cluster.logs = {}
    assert step.run().is_file()
    assert len(step.cluster.created) == 1
    assert "continuing with the job of an earlier attempt of this step" in capfd.readouterr().err


@pytest.mark.parametrize("state", ["other", "failed", "leaving"])
def test_standin_an_unusable_existing_job_is_replaced(step, state):
    marks = {"dgunet/manifest-digest": "other"} if state == "other" else {}
    old = {"metadata": {"name": step.name, "annotations": marks}, "spec": {"trainer": {}}}
    if state == "failed":
        becomes("Failed", "an old error")(old)
    if state == "leaving":
        old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    step.cluster.jobs[step.name] = old
    step.cluster.lingers = 1
    seen = []
    step.cluster.moments = [
        *([] if state == "leaving" else [lambda job: None]),
        lambda job: (seen.append(job["metadata"]["uid"]), step.trains(job)),
        becomes("Complete"),
    ]
    assert step.run().is_file()
    assert seen == ["uid-1"] and len(step.cluster.created) == 1


def test_standin_a_busy_server_is_retried_and_an_unreachable_one_keeps_the_job(step):
    step.cluster.busy = 1
    step.cluster.moments = [step.trains, becomes("Complete")]
    assert step.run(patience=5).is_file()

    def goes_away(job):
        step.cluster.busy = 99

    step.cluster.moments = [goes_away]
    with pytest.raises(UnreachableError, match="does not respond: 503 the server is starting"):
        step.run()
    assert step.name in step.cluster.jobs, "the training may continue"


def test_invalid_task_settings_are_refused_before_any_request(step):
    with pytest.raises(ConfigError, match=r"on none of the volume claims.*before 2\.15"):
        step.run(config=dsl.TaskConfig())
    wrong = dsl.TaskConfig(**{**vars(step.config), "tolerations": [{"effects": "NoSchedule"}]})
    with pytest.raises(ConfigError, match=r"tolerations\[0\].effects is not a field"):
        step.run(config=wrong)
    assert not step.cluster.asked


@pytest.mark.parametrize("ablation", ["", "stages-5"])
def test_standin_the_component_passes_its_arguments_to_the_job(
    step, tmp_path, monkeypatch, ablation
):
    """The component function is called as Kubeflow's executor calls it."""
    from components.train_nodes.component import train_nodes
    from dgunet.system.package_digest import code_version

    monkeypatch.setattr(TrainJobs, "here", lambda: TrainJobs(step.cluster.api(), "runs"))
    step.folders = SharedFolders(step.shared, job_name("run-1", ablation or KEY))
    step.cluster.moments = [step.trains, becomes("Complete")]
    store = dsl.Dataset(uri=str(step.store), metadata={"digest": "d"})
    model, metrics = dsl.Model(uri=str(step.out)), dsl.Metrics(uri=str(tmp_path / "metrics"))
    digest = train_nodes.python_func(
        params="text: of params\n",
        task="derain",
        variant="DGUNet",
        ratio=0,
        ablation=ablation,
        processes=3,
        code_version=code_version(),
        image_digest="",
        image="i@sha256:1",
        nodes=2,
        runtime="dgunet-torch",
        shared=str(step.shared),
        poll=1,
        restarts=0,
        deadline=60,
        labels={"kueue.x-k8s.io/queue-name": "gpu"},
        annotations={"team": "restoration"},
        pull_secrets=["login"],
        security={"runAsUser": 2000, "fsGroup": 2000},
        store=store,
        task_config=step.config,
        model=model,
        metrics=metrics,
    )
    assert metrics.metadata == {"loss_last": 0.5}
    assert model.metadata["store_digest"] == "d"
    assert model.metadata["checkpoint_sha256"] == digest
    assert digest == files.sha256_file(step.out / "network.safetensors")
    (job,) = step.cluster.created
    trainer = job["spec"]["trainer"]
    assert (trainer["image"], trainer["numNodes"], trainer["numProcPerNode"]) == (
        "i@sha256:1",
        2,
        3,
    )
    assert job["spec"]["activeDeadlineSeconds"] == 60
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu"
    assert job["metadata"]["annotations"]["team"] == "restoration"
    assert "login" in str(job["spec"]["runtimePatches"])
    (replicated,) = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"][
        "replicatedJobs"
    ]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsUser": 2000, "fsGroup": 2000}
    assert ("--ablation stages-5" in " ".join(trainer["args"])) is bool(ablation)


def test_standin_a_stopped_step_deletes_its_job_and_keeps_the_checkpoint(step):
    def stops(job):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, (
            "the signal would end the tests"
        )
        os.kill(os.getpid(), signal.SIGTERM)

    step.cluster.moments = [lambda job: None, stops]
    with pytest.raises(SystemExit) as stopped:
        step.run()
    assert stopped.value.code == 128 + signal.SIGTERM
    assert step.cluster.deleted == [step.name] and not step.cluster.jobs
    assert step.folders.params.is_file(), "a retried step continues from here"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_standin_ctrl_c_deletes_the_job(step):
    step.cluster.moments = [lambda job: os.kill(os.getpid(), signal.SIGINT)]
    with pytest.raises(KeyboardInterrupt):
        step.run()
    assert step.cluster.deleted == [step.name] and not step.cluster.jobs


def test_the_shipped_role_allows_exactly_the_calls_of_the_step(project):
    """The role has no other permissions."""
    role, *_ = yaml.safe_load_all((project / "deploy" / "base" / "role.yaml").read_text())
    allowed = {
        (group, kind, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }
    trainer = {("trainer.kubeflow.org", "trainjobs", v) for v in ("create", "get", "delete")}
    core = {("", "pods", "get"), ("", "pods", "list"), ("", "pods/log", "get")}
    assert allowed == trainer | core | {("", "events", "list"), ("batch", "jobs", "list")}


def test_running_the_step_outside_a_cluster_raises(step, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere")
    with pytest.raises(ClusterError, match="needs a Kubernetes cluster; none found"):
        TrainJobs.here()
