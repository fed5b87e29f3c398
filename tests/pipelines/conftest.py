"""Fixtures of the pipeline tests: a project folder and stand-ins for servers."""

import inspect
import shutil

import pytest
from kfp.dsl import pipeline_task
from pipelines_server import StandIn

from dgunet.kubeflow.submission import pod_logs

DIGEST = "sha256:" + "7" * 64


@pytest.fixture(autouse=True, scope="session")
def _stacks_without_sources():
    """Every setting of a task asks kfp for the name of its caller, by ``inspect.stack()``.

    That searches all modules of the process for the source lines of all frames: seconds for each
    pipeline in a process as large as that of the tests. The names are the same without the lines.
    """

    class Quick:
        stack = staticmethod(lambda: inspect.stack(context=0))

        def __getattr__(self, name):
            return getattr(inspect, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_task, "inspect", Quick())
        yield


@pytest.fixture(autouse=True)
def outside(monkeypatch, project, tmp_path):
    """Remove credentials, hosts and clusters of this machine from the environment."""
    for name in ("DGUNET_KFP_TOKEN", "DGUNET_KFP_COOKIE", "KF_PIPELINES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("KF_PIPELINES_UI_ENDPOINT", raising=False)
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("DGUNET_HOME", str(project))
    monkeypatch.setenv("COLUMNS", "100")

    def nowhere(context=None):
        raise pod_logs.NoClusterError("no valid kubeconfig.")

    monkeypatch.setattr(pod_logs, "connect", nowhere)


@pytest.fixture
def cluster_file(project, tmp_path):
    """The documented cluster file with another image than the example's."""
    text = (project / "pipelines" / "cluster.yaml").read_text()
    path = tmp_path / "cluster.yaml"
    path.write_text(text.replace("sha256:" + "0" * 64, DIGEST))
    return path


@pytest.fixture(scope="module")
def compiled_once():
    """Cache compiled pipelines; compiling is the slow part of a submission."""
    from dgunet.kubeflow.pipeline import compiling

    known, compile_pipeline = {}, compiling.compile_pipeline

    def look(build, cluster=None):
        key = (build, cluster.model_dump_json())
        if key not in known:
            known[key] = compile_pipeline(build, cluster)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "compile_pipeline", look)
        yield


@pytest.fixture
def stand_in():
    """The stand-in for a pipelines server."""
    with StandIn() as server:
        yield server


@pytest.fixture
def home(project, tmp_path):
    """A project folder for local runs of the checkout's code."""
    folder = tmp_path / "a project"
    folder.mkdir()
    shutil.copy(project / "params.yaml", folder)
    return folder


@pytest.fixture
def cluster():
    """A stand-in for the Kubernetes API."""
    from kubernetes_standin import standin

    with standin() as server:
        yield server


@pytest.fixture(scope="session")
def store(tmp_path_factory, sample_root):
    """The prepared store of a sample dataset."""
    from dgunet.data.store.prepare import prepare_dataset

    folder = tmp_path_factory.mktemp("prepared") / "store"
    prepare_dataset("Rain100L", sample_root, folder, profile="sample")
    return folder


@pytest.fixture
def step(cluster, tmp_path, store, monkeypatch):
    """A training step over several nodes, as Kubeflow starts it."""
    from nodes_step import Step

    monkeypatch.setenv("KFP_RUN_ID", "run-1")
    monkeypatch.setenv("DGUNET_CAMPAIGN", "run-1")
    monkeypatch.setenv("KFP_POD_NAME", "step-pod")
    monkeypatch.setenv("DGUNET_HOME", str(tmp_path / "elsewhere"))
    return Step(cluster, tmp_path, store)
