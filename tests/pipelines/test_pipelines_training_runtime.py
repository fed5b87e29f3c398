"""A submission warns if the cluster lacks the training runtime of its TrainJobs."""

from types import SimpleNamespace

import pytest

from dgunet.kubeflow.submission import pod_logs
from dgunet.kubeflow.submission.training_runtime import runtime_warning


@pytest.fixture
def context(cluster, monkeypatch):
    """The stand-in as the cluster of the current kubectl context."""
    monkeypatch.setattr(pod_logs, "connect", lambda: SimpleNamespace(api_client=cluster.api()))
    return cluster


def test_an_installed_runtime_is_no_warning(context):
    assert runtime_warning("runs", "dgunet-torch") == ""
    assert not context.created


def test_a_missing_runtime_is_named_with_what_to_apply_and_how_to_do_without(context):
    context.runtimes = ["torch-distributed"]
    text = runtime_warning("runs", "dgunet-torch")
    assert len(text.splitlines()) == 1
    for part in (
        "warning: the train steps will fail: the cluster has no ClusterTrainingRuntime"
        " 'dgunet-torch'; it has torch-distributed.",
        "kubectl apply -f deploy/runtime.yaml",
        "remove trainer: from the cluster file",
    ):
        assert part in text


@pytest.mark.parametrize("case", ["forbidden", "no context", "no response"])
def test_what_cannot_be_read_is_no_warning(context, monkeypatch, case):
    context.runtimes = "forbidden" if case == "forbidden" else []
    context.busy = 9 if case == "no response" else 0
    if case == "no context":

        def connect():
            raise pod_logs.NoClusterError("no valid kubeconfig.")

        monkeypatch.setattr(pod_logs, "connect", connect)
    assert runtime_warning("runs", "dgunet-torch") == ""


def test_submit_prints_the_warning_and_sends_the_run(
    dgunet, context, cluster_file, stand_in, tmp_path
):
    context.runtimes = []
    command = ("pipeline", "submit", "evaluate_checkpoint", "--cluster", cluster_file)
    given = ("-p", "weights=/w.safetensors", "-p", "data_source=/data", "-p", "data_version=1")
    given += ("-p", f"weights_sha256={'0' * 64}")
    done = dgunet(*command, *given, "--host", stand_in.host)
    assert done.returncode == 0, done.stderr
    assert "the train steps will fail" not in done.stderr, "no step of this pipeline trains"
    command = ("pipeline", "submit", "ablations", "--cluster", cluster_file, *given[2:6])
    done = dgunet(*command, "--host", stand_in.host)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: the train steps will fail") == 1
    assert len(stand_in.runs) == 2
