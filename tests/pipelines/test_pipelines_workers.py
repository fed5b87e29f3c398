"""The start of a node: torchrun, whose exit status reflects how its processes ended."""

import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
import yaml

from dgunet.training import LOST
from dgunet.training.workers import main

HERE = ["--nnodes", "1", "--nproc-per-node", "2", "--rdzv-backend", "static"]


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def node(port):
    """Run two processes of ``code`` on this node; restore the signal handlers afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}

    def run(code):
        where = ["--master-addr", "127.0.0.1", "--master-port", str(port)]
        whole = f"import os, signal, sys, time\nrank = int(os.environ['RANK'])\n{code}"
        return main([*HERE, *where, sys.executable, "-S", "-c", whole])

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("assert os.environ['WORLD_SIZE'] == '2'", 0),
        ("sys.exit(75)", 75),
        ("sys.exit(76)", 76),
        ("sys.exit(3 if rank else 75)", 3),
        ("sys.exit(3 if rank else 76)", 3),
        (f"{KILL} if rank else sys.exit(76)", 137),
        ("time.sleep(60) if rank else sys.exit(2)", 2),
        (f"time.sleep(60) if rank else {KILL}", 137),
        ("time.sleep(60) if rank else os.kill(os.getppid(), signal.SIGTERM)", 75),
    ],
    ids=[
        *("done", "resume", "lost", "error-and-resume", "error-and-lost", "killed-and-lost"),
        *("error", "killed", "stopped"),
    ],
)
def test_the_exit_status_reflects_how_the_processes_ended(node, code, status):
    assert node(code) == status


real_nodes = pytest.mark.skipif(
    "machine" not in os.environ.get("DGUNET_TEST_NODES", ""),
    reason="half a minute on two cores: DGUNET_TEST_NODES=machine; two processes are always tested",
)


@pytest.fixture
def start(tmp_path, project, port, sample_root):
    """Start node ``rank`` of two by PET variables as Trainer does; gloo, one process per node."""
    from dgunet.data.store.prepare import prepare_dataset

    prepare_dataset("BSD400", sample_root, tmp_path / "store", profile="sample")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["sample"]["train"]["cs"] |= {"iterations": 40, "batch": 2}
    params["sample"]["runtime"]["checkpoint_seconds"] = 0
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    train = ["train", "cs", "--ratio", "10", "--params", str(tmp_path / "params.yaml")]
    train += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "model")]
    code = "from dgunet.cli import main; main()"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DGUNET_"))}
    started = []

    def make(rank):
        variables = {"NNODES": 2, "NODE_RANK": rank, "NPROC_PER_NODE": 1, "MASTER_PORT": port}
        pet = {f"PET_{name}": str(value) for name, value in variables.items()}
        own = {"PET_MASTER_ADDR": "127.0.0.1", "DGUNET_TRACKING": "off", "OMP_NUM_THREADS": "1"}
        own |= {"DGUNET_HOME": str(tmp_path), "PYTHONPATH": str(project)}
        command = ["-m", "dgunet.training.workers", sys.executable, "-c", code, *train]
        process = subprocess.Popen(
            [sys.executable, *command],
            env=kept | pet | own,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
        process.wait()


def wait_for_a_checkpoint(folder, nodes):
    while not any((folder / ".dgunet" / "checkpoints").rglob("step-*.ckpt")):
        assert nodes[0].poll() is None, nodes[0].stderr.read()


@real_nodes
def test_two_nodes_stop_together_and_resume(tmp_path, start):
    nodes = [start(0), start(1)]
    wait_for_a_checkpoint(tmp_path, nodes)
    nodes[1].send_signal(signal.SIGTERM)  # a node is drained: all stop at the same step
    logs = [one.communicate(timeout=120)[1] for one in nodes]
    assert [one.returncode for one in nodes] == [75, 75], logs
    assert not (tmp_path / "model").exists()

    nodes = [start(0), start(1)]
    resumed_logs = [one.communicate(timeout=120)[1] for one in nodes]
    assert [one.returncode for one in nodes] == [0, 0], resumed_logs
    assert "resuming from step" in resumed_logs[0]
    made = json.loads((tmp_path / "model" / "training.json").read_text())
    assert made["iterations"] == 40


@real_nodes
@pytest.mark.parametrize("dead", [0, 1], ids=["first", "second"])
def test_a_node_says_that_it_lost_one_that_died_hard(tmp_path, start, dead):
    """The first node has the store of torchrun, which the other one then misses as well."""
    nodes = [start(0), start(1)]
    wait_for_a_checkpoint(tmp_path, nodes)
    parts = [nodes[dead], *psutil.Process(nodes[dead].pid).children(recursive=True)]
    for part in parts:
        part.kill()
    log = nodes[1 - dead].communicate(timeout=200)[1]
    assert nodes[1 - dead].returncode == LOST, log
    assert "lost" in log
