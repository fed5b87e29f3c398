"""The Trainer SDK runs the same training in two containers, and in local processes.

DGUNET_TEST_NODES=containers  two nodes on a Docker engine (DOCKER_HOST), image `dgunet:local`
DGUNET_TEST_NODES=process     its local process backend, which installs torch for the job: minutes
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import uuid

import numpy as np
import pandas as pd
import pytest
import yaml

WANTED = os.environ.get("DGUNET_TEST_NODES", "")
IMAGE = os.environ.get("DGUNET_TEST_IMAGE", "dgunet:local")
MINUTES = 15 * 60

pytestmark = [
    pytest.mark.timeout(2 * MINUTES),
    pytest.mark.skipif(
        importlib.util.find_spec("kubeflow") is None,
        reason="needs the Trainer SDK: pip install 'dgunet[integration]'",
    ),
]


def no_engine():
    """Return why containers are unavailable; an empty text if they are available."""
    if "containers" not in WANTED:
        return "minutes, and a Docker engine: DGUNET_TEST_NODES=containers"
    import docker

    try:
        client = docker.from_env()
        client.images.get(IMAGE)
    except docker.errors.DockerException as error:
        return f"no Docker engine, or no image {IMAGE} (make image): {error}"
    return ""


def train(home, command=(), paths=()):
    """Train in every process of the job. The SDK copies the source of this function only."""
    import os
    import socket
    import sys

    if isinstance(home, dict):  # the local process backend passes all arguments as one
        home, command, paths = home["home"], home["command"], home["paths"]
    rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
    print(f"process {rank} of {size} on {socket.gethostname()}", flush=True)
    os.environ |= {"DGUNET_HOME": home, "DGUNET_TRACKING": "off", "OMP_NUM_THREADS": "1"}
    os.chdir(home)
    sys.argv = ["dgunet", *command]
    sys.path += paths
    from dgunet.cli import main

    main()


def arguments(home, out):
    """Return the arguments of ``dgunet train`` for a project at ``home``."""
    given = ["train", "cs", "--ratio", "10", "--params", f"{home}/params.yaml"]
    return [*given, "--store", f"{home}/store", "--out", f"{home}/{out}"]


@pytest.fixture
def home(tmp_path, project, sample_root, monkeypatch):
    """A small project in a world-writable folder that the SDK mounts into the job."""
    from dgunet.data.store.prepare import prepare_dataset

    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".kubeflow" / "trainer" / "containers" / f"nodes-{uuid.uuid4().hex[:8]}"
    prepare_dataset("BSD400", sample_root, folder / "store", profile="sample")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["sample"]["train"]["cs"] |= {"iterations": 6, "batch": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    return folder


def alone(home, project):
    """Return the losses of the same training in one process."""
    code = "from dgunet.cli import main; main()"
    own = {"DGUNET_HOME": str(home), "DGUNET_TRACKING": "off", "PYTHONPATH": str(project)}
    subprocess.run(
        [sys.executable, "-c", code, *arguments(home, "alone")],
        env=os.environ | own | {"OMP_NUM_THREADS": "1"},
        check=True,
        cwd=home,
    )
    return pd.read_csv(home / "alone" / "loss.csv")


def wait(client, name):
    """Wait for the job, which must complete; return its logs by step."""
    ended, end = ("Complete", "Failed"), time.monotonic() + MINUTES
    while (job := client.get_job(name)).status not in ended and time.monotonic() < end:
        time.sleep(1)
    logs = {s.name: "\n".join(client.get_job_logs(name, step=s.name)) for s in job.steps}
    print(*logs.values(), sep="\n")
    assert job.status == "Complete"
    return logs


@pytest.mark.skipif(bool(reason := no_engine()), reason=reason or "there is one")
def test_two_containers_train_together_as_two_nodes(home, project, tmp_path):
    from kubeflow.trainer import ContainerBackendConfig, CustomTrainer, TrainerClient
    from kubeflow.trainer.backends.container.types import TrainingRuntimeSource
    from kubeflow.trainer.options import Name

    runtimes = tmp_path / "runtimes"
    runtimes.mkdir()
    shutil.copy(project / "deploy" / "cluster" / "runtime.yaml", runtimes)
    client = TrainerClient(
        backend_config=ContainerBackendConfig(
            pull_policy="Never",
            container_runtime="docker",
            runtime_source=TrainingRuntimeSource(sources=[str(runtimes)]),
        )
    )
    trainer = CustomTrainer(
        func=train,
        func_args={"home": "/workspace", "command": arguments("/workspace", "model")},
        image=IMAGE,
        num_nodes=2,
    )
    name = client.train(runtime="dgunet-torch", trainer=trainer, options=[Name(home.name)])
    try:
        logs = wait(client, name)
        for rank in (0, 1):
            assert f"process {rank} of 2 on " in logs[f"node-{rank}"]
        hosts = {log.partition(" on ")[2].split()[0] for log in logs.values()}
        assert len(hosts) == 2, "two containers"
        two = pd.read_csv(home / "model" / "loss.csv")
        record = json.loads((home / "model" / "training.json").read_text())
        assert record["iterations"] == len(two) == 6
        np.testing.assert_allclose(two, alone(home, project), rtol=1e-5, atol=0)
    finally:
        client.delete_job(name)


@pytest.mark.skipif("process" not in WANTED, reason="many minutes: DGUNET_TEST_NODES=process")
def test_the_local_process_backend_runs_the_same_training(home, project, monkeypatch):
    from kubeflow.trainer import CustomTrainer, LocalProcessBackendConfig, TrainerClient

    monkeypatch.chdir(home)  # the SDK changes the folder of this process
    client = TrainerClient(backend_config=LocalProcessBackendConfig())
    locked = (project / "requirements.lock").read_text().splitlines()
    paths = [str(project), *(path for path in sys.path if path.endswith("site-packages"))]
    trainer = CustomTrainer(
        func=train,
        # The job installs torch; the other packages are those of this environment.
        func_args={"home": str(home), "command": arguments(home, "model"), "paths": paths},
        packages_to_install=[line for line in locked if line.startswith("torch==")],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PET_NPROC_PER_NODE": "2",
        }
        | {name: value for name, value in os.environ.items() if name.startswith("PIP_")},
    )
    name = client.train(runtime="torch-distributed", trainer=trainer)
    (log,) = wait(client, name).values()
    assert {f"process {rank} of 2 on " in log for rank in (0, 1)} == {True}
    two = pd.read_csv(home / "model" / "loss.csv")
    np.testing.assert_allclose(two, alone(home, project), rtol=1e-5, atol=0)
