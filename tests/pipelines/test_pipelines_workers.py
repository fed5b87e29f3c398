"""The start of a node: torchrun, whose exit status reflects how its processes ended."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import yaml

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
        ("sys.exit(3 if rank else 75)", 3),
        ("time.sleep(60) if rank else sys.exit(2)", 2),
        (f"time.sleep(60) if rank else {KILL}", 137),
        ("time.sleep(60) if rank else os.kill(os.getppid(), signal.SIGTERM)", 75),
    ],
    ids=["done", "resume", "error-and-resume", "error", "killed", "stopped"],
)
def test_the_exit_status_reflects_how_the_processes_ended(node, code, status):
    assert node(code) == status


@pytest.mark.skipif(
    "machine" not in os.environ.get("DGUNET_TEST_NODES", ""),
    reason="half a minute on two cores: DGUNET_TEST_NODES=machine; two processes are always tested",
)
def test_two_nodes_stop_together_and_resume(tmp_path, project, port, sample_root):
    """Started by PET variables as Trainer does; gloo, one process per node, both local."""
    from dgunet.data.store.prepare import prepare_dataset

    store, out = tmp_path / "store", tmp_path / "model"
    prepare_dataset("BSD400", sample_root, store, profile="sample")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["sample"]["train"]["cs"] |= {"iterations": 40, "batch": 2}
    params["sample"]["runtime"]["checkpoint_seconds"] = 0
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    train = ["train", "cs", "--ratio", "10", "--params", str(tmp_path / "params.yaml")]
    train += ["--store", str(store), "--out", str(out)]
    code = "from dgunet.cli import main; main()"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DGUNET_"))}

    def start(rank):
        variables = {"NNODES": 2, "NODE_RANK": rank, "NPROC_PER_NODE": 1, "MASTER_PORT": port}
        pet = {f"PET_{name}": str(value) for name, value in variables.items()}
        own = {"PET_MASTER_ADDR": "127.0.0.1", "DGUNET_TRACKING": "off", "OMP_NUM_THREADS": "1"}
        own |= {"DGUNET_HOME": str(tmp_path), "PYTHONPATH": str(project)}
        command = ["-m", "dgunet.training.workers", sys.executable, "-c", code, *train]
        return subprocess.Popen(
            [sys.executable, *command],
            env=kept | pet | own,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    nodes = [start(0), start(1)]
    while not any((tmp_path / ".dgunet" / "checkpoints").rglob("step-*.ckpt")):
        assert nodes[0].poll() is None, nodes[0].stderr.read()
    nodes[1].send_signal(signal.SIGTERM)  # a node is drained: all stop at the same step
    logs = [one.communicate(timeout=120)[1] for one in nodes]
    assert [one.returncode for one in nodes] == [75, 75], logs
    assert not out.exists()

    nodes = [start(0), start(1)]
    resumed_logs = [one.communicate(timeout=120)[1] for one in nodes]
    assert [one.returncode for one in nodes] == [0, 0], resumed_logs
    assert "resuming from step" in resumed_logs[0]
    assert json.loads((out / "training.json").read_text())["iterations"] == 40
