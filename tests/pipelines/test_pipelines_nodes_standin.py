"""Training over several nodes against a stand-in of the Kubernetes API: no cluster is needed."""

import os
import signal
import time

import pytest
import yaml
from kfp import dsl
from kubernetes_standin import becomes, condition, ended, pod, standin

from dgunet.kubeflow.trainer.api import ClusterError, TrainJobs, UnreachableError
from dgunet.kubeflow.trainer.multi_node import NodeSettings, NodeTraining, train_on_nodes
from dgunet.kubeflow.trainer.shared_volume import SharedFolders
from dgunet.kubeflow.trainer.trainjob import job_name
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.system.logs import log_to_stderr

KEY = "derain-DGUNet"


@pytest.fixture
def cluster():
    with standin() as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory, sample_root):
    from dgunet.data.store.prepare import prepare_dataset

    folder = tmp_path_factory.mktemp("prepared") / "store"
    prepare_dataset("Rain100L", sample_root, folder, profile="sample")
    return folder


class Step:
    """A pipeline's step with its volume, its task's settings and the stand-in."""

    def __init__(self, cluster, folder, store):
        self.cluster, self.store = cluster, store
        self.volume, self.out = folder / "volume", folder / "out" / "model"
        self.volume.mkdir()
        self.shared = self.volume / "shared"
        self.name = job_name("run-1", KEY)
        self.folders = SharedFolders(self.shared, self.name)
        self.nodes = NodeSettings(
            2, "dgunet-torch", str(self.shared), "i@sha256:0", poll=0.01, restarts=2, patience=0.1
        )
        claim = {"name": "v", "persistentVolumeClaim": {"claimName": "v"}}
        self.config = dsl.TaskConfig(
            volumes=[claim],
            volume_mounts=[{"name": "v", "mountPath": str(self.volume)}],
            env=[{"name": "DGUNET_TRACKING", "value": "off"}],
            resources={"limits": {"cpu": "1"}},
        )

    def run(self, **changes):
        return train_on_nodes(
            self.training,
            self.nodes,
            changes.pop("config", self.config),
            TrainJobs(self.cluster.api(), "runs", patience=changes.pop("patience", 0.1)),
        )

    @property
    def training(self):
        """What the step trains."""
        return NodeTraining(
            "text: of params\n", "derain", "DGUNet", None, store=self.store, out=self.out
        )

    def trains(self, job):
        """The moment in which the nodes leave their network."""
        self.folders.model.mkdir(parents=True)
        (self.folders.model / "network.safetensors").write_bytes(b"weights")
        (self.folders.model / "loss.csv").write_text("step,loss\n")
        (self.folders.model / "training.json").write_text('{"selection": "last", "loss_last": 0.5}')

    def fails(self, match, **changes):
        with pytest.raises(DgunetError, match=match) as failure:
            self.run(**changes)
        assert len(str(failure.value).splitlines()) == 1
        assert self.name not in self.cluster.jobs
        return str(failure.value)


@pytest.fixture
def step(cluster, tmp_path, store, monkeypatch):
    log_to_stderr()
    monkeypatch.setenv("KFP_RUN_ID", "run-1")
    monkeypatch.setenv("DGUNET_CAMPAIGN", "run-1")
    monkeypatch.setenv("KFP_POD_NAME", "step-pod")
    monkeypatch.setenv("DGUNET_HOME", str(tmp_path / "elsewhere"))
    return Step(cluster, tmp_path, store)


def test_standin_a_job_is_made_watched_collected_and_removed(step, capfd):
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
    assert home.startswith(str(step.shared)), "a home that the nodes do not share is not used"


def test_standin_the_next_network_finds_the_prepared_set_there(step):
    there = SharedFolders(step.shared, "one").upload("a", step.store)
    before = (there / "manifest.json").stat().st_mtime_ns
    assert SharedFolders(step.shared, "two").upload("b", step.store) == there
    assert (there / "manifest.json").stat().st_mtime_ns == before
    shard = next(path for path in there.iterdir() if path.name != "manifest.json")
    shard.write_bytes(b"")
    SharedFolders(step.shared, "three").upload("c", step.store)
    assert shard.stat().st_size, "a damaged copy is made again"


EVICTED = {
    "conditions": [condition("DisruptionTarget", "node is drained", "EvictionByEvictionAPI")]
}
LOST = "collective failed: connection closed by peer"


@pytest.mark.parametrize(
    "pods",
    [
        [ended(0, 1, message=LOST), pod(1, "Failed", reason="Evicted", message="low on memory")],
        [ended(0, 1, message=LOST), ended(1, 143, **EVICTED)],
        [ended(0, 75), ended(1, 75)],
        [ended(0, 1, at="2026-01-01T00:00:09Z", message=LOST), ended(1, 75)],
    ],
    ids=["evicted", "drained", "stopped", "stopped-first"],
)
def test_standin_a_node_that_was_taken_away_means_going_on(step, capfd, pods):
    def goes(job):
        step.cluster.pods = pods
        becomes("Failed", "jobset failed")(job)

    def comes_again(job):
        step.cluster.pods = []
        step.trains(job)
        becomes("Complete")(job)

    step.cluster.lingers = 1
    step.cluster.moments = [goes, comes_again]
    assert step.run().is_file()
    assert len(step.cluster.created) == 2
    assert step.cluster.created[0] == step.cluster.created[1], "the same paths: its checkpoint"
    assert "was interrupted" in (output := capfd.readouterr().err)
    assert "continuing from the last checkpoint" in output


def test_standin_a_drained_pod_that_is_gone_was_taken_away(step):
    def runs(job):
        step.cluster.pods = [pod(0), pod(1)]

    def goes(job):
        step.cluster.pods = []
        becomes("Failed", "jobset failed")(job)

    step.cluster.moments = [runs, goes, lambda job: (step.trains(job), becomes("Complete")(job))]
    assert step.run().is_file() and len(step.cluster.created) == 2


def test_standin_it_is_started_again_so_often_and_no_more(step):
    def goes(job):
        step.cluster.pods = [ended(0, 75), ended(1, 75)]
        becomes("Failed", "jobset failed")(job)

    step.cluster.moments = [goes] * 3
    step.fails("it was already restarted 2 times.*continues from the last checkpoint")
    assert len(step.cluster.created) == 3 and step.folders.params.is_file()


WAITING = {"name": "node", "image": "i@sha256:0", "imageID": "", "ready": False, "restartCount": 0}


def waiting(reason, message):
    state = {"state": {"waiting": {"reason": reason, "message": message}}}
    return pod(1, "Pending", containerStatuses=[WAITING | state])


@pytest.mark.parametrize(
    ("pods", "says"),
    [
        (
            [ended(0, 1, message=LOST), ended(1, 137, "OOMKilled")],
            r"node 1 was killed \(137\), out of memory. Increase memory and shm",
        ),
        (
            [
                ended(0, 1, at="2026-01-01T00:00:05Z", message=LOST),
                ended(1, 1, message="Traceback\ndgunet: error: loss is nan.\nprocess 1 ended"),
            ],
            "node 1 ended with status 1: dgunet: error: loss is nan",
        ),
        (
            [ended(0, 75, at="2026-01-01T00:00:05Z"), ended(1, 2, message="no such option")],
            "node 1 ended with status 2: no such option",
        ),
        (
            [waiting("ImagePullBackOff", "no basic auth")],
            "cannot get the image i@sha256:0: ImagePullBackOff: no basic auth. Push the image",
        ),
    ],
    ids=["memory", "first-error", "error-stops-the-other", "image"],
)
def test_standin_a_failed_job_says_why_in_one_line(step, pods, says):
    def goes(job):
        step.cluster.pods = pods
        becomes("Failed", "jobset failed")(job)

    step.cluster.moments = [goes]
    step.fails(says)
    assert len(step.cluster.created) == 1


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("ErrImagePull", "cannot get the image"),
        ("CreateContainerConfigError", "cannot start.*Correct secrets: and volumes:"),
    ],
)
def test_standin_a_temporary_failure_is_waited_for(step, capfd, reason, says):
    waits = waiting(reason, "not now")
    step.cluster.pods = [waits]
    started = time.monotonic()
    step.fails(says)
    assert time.monotonic() - started >= step.nodes.patience
    assert "; waiting" in capfd.readouterr().err

    def recovers(job):
        step.cluster.pods = [pod(1)]

    step.cluster.pods = [waits]
    done = [recovers, step.trains, becomes("Complete")]
    step.cluster.moments = [lambda job: None, *done]
    assert step.run().is_file()


def test_standin_a_quota_that_is_too_small_fails_and_one_in_use_is_waited_for(step):
    output = (
        'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=8, '
        "used: requests.nvidia.com/gpu={used}, limited: requests.nvidia.com/gpu={limit}"
    )
    event = {"involvedObject": {}, "metadata": {"name": "e"}, "reason": "FailedCreate"}
    step.cluster.events = [event | {"message": output.format(used=0, limit=8)}]
    step.fails("is too small for 2 nodes: requests.nvidia.com/gpu 16 of 8 allowed. Request fewer")
    step.cluster.events = [event | {"message": output.format(used=12, limit=16)}]
    step.fails("the quota is used up: requests.nvidia.com/gpu 12 of 16")


REFUSALS = [
    ((403, "Forbidden", 'trainjobs is forbidden: User "sa" cannot create'), "deploy/rbac.yaml"),
    ((403, "Forbidden", "exceeded quota: jobs, requested: count=1"), "larger quota"),
    ((403, "Forbidden", 'admission webhook "x" denied: no team label'), "A policy of the cluster"),
    ((404, "NotFound", "the server could not find the requested resource"), "Install Kubeflow Tr"),
    ((401, "Unauthorized", "Unauthorized"), "service account"),
    ((400, "BadRequest", 'unknown field "spec.runtimePatches"'), "must be 2.2 or later"),
]


@pytest.mark.parametrize(("refusal", "hint"), REFUSALS)
def test_standin_a_refusal_names_the_hint(step, refusal, hint):
    step.cluster.refusals = [refusal]
    output = step.fails(hint)
    assert refusal[2].rstrip(".") in output and str(refusal[0]) in output


def test_standin_a_server_that_drops_a_field_starts_nothing(step):
    """As a real one does with what its CRD does not know."""

    def older(job):
        job["spec"]["podTemplateOverrides"] = job["spec"].pop("runtimePatches")

    step.cluster.forget = older
    step.fails("dropped fields of the TrainJob.*spec.runtimePatches.*2.2 or later")
    assert step.cluster.deleted == [step.name]


def test_standin_a_missing_runtime_is_named_with_those_there_are(step):
    step.cluster.runtimes = ["torch-distributed", "mpi"]
    step.fails("no ClusterTrainingRuntime 'dgunet-torch'; it has mpi, torch-distributed.*runtime.y")
    assert not step.cluster.created
    step.cluster.runtimes = "forbidden"
    step.cluster.moments = [step.trains, becomes("Complete")]
    assert step.run().is_file(), "who may not read runtimes learns it from the job"


def test_standin_a_retried_step_takes_up_the_job_that_runs(step, capfd):
    class Killed(BaseException):
        pass

    def dies(job):
        raise Killed

    first = TrainJobs(step.cluster.api(), "runs")
    first.delete = lambda name: None  # a killed step removes nothing
    first.find = dies
    with pytest.raises(Killed):
        train_on_nodes(step.training, step.nodes, step.config, first)
    step.cluster.moments = [step.trains, becomes("Complete")]
    step.cluster.logs = {}
    assert step.run().is_file()
    assert len(step.cluster.created) == 1
    assert "continuing with the job of an earlier attempt of this step" in capfd.readouterr().err


@pytest.mark.parametrize("state", ["other", "failed", "leaving"])
def test_standin_a_job_that_is_not_to_be_taken_up_is_replaced(step, state):
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


def test_standin_a_job_that_someone_deletes_is_an_error(step):
    step.cluster.moments = [lambda job: job["metadata"].update(deletionTimestamp="now")]
    step.fails("someone deleted the job")


def test_standin_a_busy_server_is_asked_again_and_one_that_is_away_keeps_the_job(step):
    step.cluster.busy = 1
    step.cluster.moments = [step.trains, becomes("Complete")]
    assert step.run(patience=5).is_file()

    def goes_away(job):
        step.cluster.busy = 99

    step.cluster.moments = [goes_away]
    with pytest.raises(UnreachableError, match="does not respond: 503 the server is starting"):
        step.run()
    assert step.name in step.cluster.jobs, "the training may go on"


def test_what_kubeflow_does_not_forward_is_refused_before_anything_is_sent(step):
    with pytest.raises(ConfigError, match=r"on none of the volume claims.*before 2\.15"):
        step.run(config=dsl.TaskConfig())
    wrong = dsl.TaskConfig(**{**vars(step.config), "tolerations": [{"effects": "NoSchedule"}]})
    with pytest.raises(ConfigError, match=r"tolerations\[0\].effects is not a field"):
        step.run(config=wrong)
    assert not step.cluster.asked


def test_nodes_that_leave_no_network_are_an_error(step):
    step.cluster.moments = [becomes("Complete")]
    with pytest.raises(DgunetError, match=r"the nodes completed without writing"):
        step.run()


def test_standin_the_component_s_own_lines(step, tmp_path, monkeypatch):
    """The body of the component, called as Kubeflow's executor calls it."""
    from components.train_nodes.component import train_nodes
    from dgunet.kubeflow.steps.code_pins import code_version

    monkeypatch.setattr(TrainJobs, "here", lambda: TrainJobs(step.cluster.api(), "runs"))
    step.cluster.moments = [step.trains, becomes("Complete")]
    store = dsl.Dataset(uri=str(step.store), metadata={"digest": "d"})
    model, metrics = dsl.Model(uri=str(step.out)), dsl.Metrics(uri=str(tmp_path / "metrics"))
    train_nodes.python_func(
        params="text: of params\n",
        task="derain",
        variant="DGUNet",
        ratio=0,
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
        store=store,
        task_config=step.config,
        model=model,
        metrics=metrics,
    )
    assert metrics.metadata == {"loss_last": 0.5}
    assert model.metadata["store_digest"] == "d" and model.metadata["checkpoint_sha256"]
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


def test_standin_a_step_that_is_stopped_removes_its_job_and_keeps_the_checkpoint(step):
    def stops(job):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, "or it would end the tests"
        os.kill(os.getpid(), signal.SIGTERM)

    step.cluster.moments = [lambda job: None, stops]
    with pytest.raises(SystemExit) as stopped:
        step.run()
    assert stopped.value.code == 128 + signal.SIGTERM
    assert step.cluster.deleted == [step.name] and not step.cluster.jobs
    assert step.folders.params.is_file(), "a retried step goes on from here"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_standin_ctrl_c_removes_the_job_too(step):
    step.cluster.moments = [lambda job: os.kill(os.getpid(), signal.SIGINT)]
    with pytest.raises(KeyboardInterrupt):
        step.run()
    assert step.cluster.deleted == [step.name] and not step.cluster.jobs


def test_the_step_may_do_what_the_shipped_role_allows(project):
    """Every call of the step is in the role, and the role has nothing beside."""
    role, *_ = yaml.safe_load_all((project / "deploy" / "rbac.yaml").read_text())
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


def test_the_step_outside_of_a_cluster_says_so(step, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere")
    with pytest.raises(ClusterError, match="needs a Kubernetes cluster; none found"):
        TrainJobs.here()
