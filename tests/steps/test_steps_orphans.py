"""The worker processes of a killed evaluation end."""

import os
import subprocess
import sys
import time

import psutil


def test_worker_processes_end_with_a_killed_evaluation(small, weights, tmp_path):
    store = small.store("Rain100L")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dgunet.evaluation.processes import evaluate_in_processes\n"
        "from dgunet.evaluation.image_steps import Settings\n"
        "from dgunet.data.store.pair_store import PairStore\n"
        "if __name__ == '__main__':\n"
        "    weights, store, out = map(Path, sys.argv[1:])\n"
        "    evaluate_in_processes(weights, PairStore.open(store), out, Settings('c' * 64),"
        " processes=2, device='cpu')\n"
    )
    script = tmp_path / "evaluate.py"
    script.write_text(code)
    command = [sys.executable, script, weights, store, tmp_path / "out"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    workers = []
    try:
        while not any((tmp_path / "out").glob("**/*")):  # until the first rows exist
            assert process.poll() is None
            workers = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert len(workers) >= 2
        assert psutil.wait_procs(workers, timeout=60)[1] == []
    finally:
        for each in (process, *(w for w in workers if w.is_running())):
            each.kill()
