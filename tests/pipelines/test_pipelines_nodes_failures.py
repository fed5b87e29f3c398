"""Failures and interruptions of a training over several nodes, against the stand-in API."""

import time

import pytest
from kubernetes_standin import becomes, condition, ended, pod

from dgunet.system.errors import DgunetError

EVICTED = {
    "conditions": [condition("DisruptionTarget", "node is drained", "EvictionByEvictionAPI")]
}
LOST = "collective failed: connection closed by peer"
LATER = "2026-01-01T00:05:00Z"


@pytest.mark.parametrize(
    "pods",
    [
        [ended(0, 1, message=LOST), pod(1, "Failed", reason="Evicted", message="low on memory")],
        [ended(0, 1, message=LOST), ended(1, 143, **EVICTED)],
        [ended(0, 75), ended(1, 75)],
        [ended(0, 1, at="2026-01-01T00:00:09Z", message=LOST), ended(1, 75)],
        [ended(0, 76, message=LOST), pod(1)],
        [ended(0, 76, message=LOST), pod(1, "Unknown")],
        [ended(0, 76, message=LOST), pod(1, "Failed", containerStatuses=[])],
        [ended(0, 76, message=LOST), ended(1, 137, "ContainerStatusUnknown", at=LATER)],
        [ended(0, 1, message=LOST), ended(1, 255, "Unknown", at=LATER)],
    ],
    ids=[
        *("evicted", "drained", "stopped", "stopped-first"),
        *("silent", "unreachable", "without status", "not found", "restarted"),
    ],
)
def test_standin_an_interrupted_node_restarts_the_job_from_its_checkpoint(step, capfd, pods):
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
    assert step.cluster.created[0] == step.cluster.created[1], (
        "the same paths, so the checkpoint is found"
    )
    assert "was interrupted" in (output := capfd.readouterr().err)
    assert "continuing from the last checkpoint" in output


@pytest.mark.parametrize("peers", [[], [ended(0, 76, message=LOST)]], ids=["all", "one"])
def test_standin_a_deleted_pod_counts_as_an_interruption(step, peers):
    def runs(job):
        step.cluster.pods = [pod(0), pod(1)]

    def goes(job):
        step.cluster.pods = peers
        becomes("Failed", "jobset failed")(job)

    step.cluster.moments = [runs, goes, lambda job: (step.trains(job), becomes("Complete")(job))]
    assert step.run().is_file() and len(step.cluster.created) == 2


def test_standin_the_number_of_restarts_is_limited(step):
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
    ("pods", "expected"),
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
            [
                ended(0, 76, message=LOST),
                ended(1, 1, at=LATER, message="dgunet: error: loss is nan."),
            ],
            "node 1 ended with status 1: dgunet: error: loss is nan",
        ),
        (
            [ended(0, 76, message=LOST), ended(1, 137, at=LATER)],
            r"node 1 was killed \(137\), most likely out of memory",
        ),
        (
            [waiting("ImagePullBackOff", "no basic auth")],
            "cannot get the image i@sha256:0: ImagePullBackOff: no basic auth. Push the image",
        ),
    ],
    ids=["memory", "first-error", "error-stops-the-other", "lost", "lost-memory", "image"],
)
def test_standin_a_failed_job_raises_a_one_line_reason(step, pods, expected):
    def goes(job):
        step.cluster.pods = pods
        becomes("Failed", "jobset failed")(job)

    step.cluster.moments = [goes]
    step.fails(expected)
    assert len(step.cluster.created) == 1


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("ErrImagePull", "cannot get the image"),
        ("CreateContainerConfigError", "cannot start.*Correct secrets: and volumes:"),
    ],
)
def test_standin_temporary_failures_are_waited_for(step, capfd, reason, expected):
    waits = waiting(reason, "not now")
    step.cluster.pods = [waits]
    started = time.monotonic()
    step.fails(expected)
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
    (
        (403, "Forbidden", 'trainjobs is forbidden: User "sa" cannot create'),
        "deploy/overlays/single-user",
    ),
    ((403, "Forbidden", "exceeded quota: jobs, requested: count=1"), "larger quota"),
    ((403, "Forbidden", 'admission webhook "x" denied: no team label'), "A policy of the cluster"),
    ((404, "NotFound", "the server could not find the requested resource"), "Install Kubeflow Tr"),
    ((401, "Unauthorized", "Unauthorized"), "service account"),
    ((400, "BadRequest", 'unknown field "spec.runtimePatches"'), "must be 2.2 or later"),
]


@pytest.mark.parametrize(("refusal", "hint"), REFUSALS)
def test_standin_a_refusal_has_a_hint(step, refusal, hint):
    step.cluster.refusals = [refusal]
    output = step.fails(hint)
    assert refusal[2].rstrip(".") in output and str(refusal[0]) in output


def test_standin_dropped_fields_are_refused_and_the_job_is_deleted(step):
    """A real server drops fields that its CRD does not have."""

    def older(job):
        job["spec"]["podTemplateOverrides"] = job["spec"].pop("runtimePatches")

    step.cluster.forget = older
    step.fails("dropped fields of the TrainJob.*spec.runtimePatches.*2.2 or later")
    assert step.cluster.deleted == [step.name]


def test_standin_a_missing_runtime_is_refused_with_the_existing_ones(step):
    step.cluster.runtimes = ["torch-distributed", "mpi"]
    step.fails(
        "no ClusterTrainingRuntime 'dgunet-torch'; it has mpi, torch-distributed.*-k deploy/cluster"
    )
    assert not step.cluster.created
    step.cluster.runtimes = "forbidden"
    step.cluster.moments = [step.trains, becomes("Complete")]
    assert step.run().is_file(), "without permission to read runtimes the check is skipped"


def test_standin_an_externally_deleted_job_raises(step):
    step.cluster.moments = [lambda job: job["metadata"].update(deletionTimestamp="now")]
    step.fails("someone deleted the job")


def test_nodes_that_write_no_network_raise(step):
    step.cluster.moments = [becomes("Complete")]
    with pytest.raises(DgunetError, match=r"the nodes completed without writing"):
        step.run()
