"""If only `torchrun` is killed, its workers end, and the same command finishes the run."""

import signal
import subprocess
import sys
import time

import psutil
import pytest
from test_training_distributed import torchrun

from dgunet.tracking import TrackingFolders, deliver, pending
from dgunet.tracking.server import mlflow_store

SOON = 60
"""Time limit in seconds; a worker that continued to train would take longer."""


@pytest.fixture
def started():
    """Processes that are killed after the test."""
    left = []
    yield left
    for process in left:
        for each in (process, *process.children(recursive=True)) if process.is_running() else ():
            each.kill()


def test_workers_end_with_torchrun_and_the_rerun_finishes_the_same_run(small, started, monkeypatch):
    small.write_params(steps=40, batch=3)
    out = small.home / "out"
    process = torchrun(small, out)
    started.append(psutil.Process(process.pid))
    while not small.checkpoints():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    workers = psutil.Process(process.pid).children(recursive=True)
    started += workers
    assert len([w for w in workers if "RANK" in w.environ()]) == 2
    process.send_signal(signal.SIGKILL)
    output = process.communicate(timeout=SOON)[1]  # the workers hold the other end of the pipe
    assert psutil.wait_procs(workers, timeout=SOON)[1] == []
    assert "the parent process is gone" in output  # the other worker may lose this one first
    assert not out.exists()
    for name in ("MLFLOW_TRACKING_URI", "DGUNET_TRACKING", "RANK"):
        monkeypatch.delenv(name, raising=False)
    folders = TrackingFolders(small.home)
    assert [info.status for info in pending(folders)] in (["RUNNING"], ["FAILED"])

    process = torchrun(small, out)
    output = process.communicate(timeout=300)[1]
    assert process.returncode == 0, output
    assert "resuming from step" in output
    assert deliver(folders).reason is None
    client = mlflow_store.client(folders.uri)
    experiments = [found.experiment_id for found in client.search_experiments()]
    assert [run.info.status for run in client.search_runs(experiments)] == ["FINISHED"]


def test_a_pool_of_workers_ends_with_its_parent(tmp_path, started):
    """Evaluation, preparation and checks of datasets use such a pool."""
    script = tmp_path / "pool.py"
    script.write_text(
        "import multiprocessing, os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from dgunet.system.parent_process import end_with_parent\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    with ProcessPoolExecutor(2, context, end_with_parent, (os.getpid(),)) as pool:\n"
        "        tasks = [pool.submit(time.sleep, 600) for _ in range(4)]\n"
        "        while not all(task.running() for task in tasks[:2]):\n"
        "            time.sleep(0.01)\n"
        "        print('working', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    started.append(psutil.Process(process.pid))
    assert process.stdout.readline() == "working\n"
    workers = psutil.Process(process.pid).children(recursive=True)
    started += workers
    process.kill()
    process.wait()
    assert psutil.wait_procs(workers, timeout=SOON)[1] == []


def test_a_worker_whose_parent_is_already_dead_exits(tmp_path):
    code = (
        "from dgunet.system.parent_process import end_with_parent;"
        f"end_with_parent({2**22 + 1}); print('on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (137, "")
