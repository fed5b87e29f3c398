"""How many processors and how much memory this process may use, from folders as the kernel has."""

import ast
import os
from pathlib import Path

import psutil
import pytest
import torch

from dgunet.evaluation import memory
from dgunet.network.devices import thread_count
from dgunet.system import machine_limits
from dgunet.system.machine_limits import container_bytes, container_processors, processors

ROOT = Path(__file__).parents[2]

POD = {  # version 2: four processors and 1000 bytes
    "pod/box/cpu.max": "max 100000\n",
    "pod/cpu.max": "400000 100000\n",
    "pod/box/memory.max": "1000\n",
    "pod/box/memory.current": "700\n",
    "pod/box/memory.stat": "anon 600\ninactive_file 50\n",
    "pod/memory.max": "max\n",
    "pod/memory.current": "900\n",
    "pod/memory.stat": "",
}
DOCKER = {  # version 1; inside the container only the roots exist
    "cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
    "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "memory/memory.limit_in_bytes": "1000",
    "memory/memory.usage_in_bytes": "1200",
    "memory/memory.stat": "total_inactive_file 500",
}
DOCKER_LINES = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc"
NO_QUOTA = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}


def kernel(folder, lines, files):
    """Write the kernel's files of control groups to ``folder``; gives the two paths to read."""
    (folder / "proc").write_text(f"7:pids:/elsewhere\n{lines}\n")
    for path, text in files.items():
        (folder / "mount" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mount" / path).write_text(text)
    return folder / "proc", folder / "mount"


@pytest.fixture
def many(monkeypatch):
    """A machine with 96 processors, of which the affinity mask of this process allows all."""
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(96)))


def test_a_quota_bounds_the_processors(tmp_path, many):
    assert processors(*kernel(tmp_path, "0::/pod/box", POD)) == 4


def test_a_quota_of_version_1_bounds_the_processors(tmp_path, many):
    places = kernel(tmp_path, DOCKER_LINES, DOCKER)
    assert list(container_processors(*places)) == [2.5]
    assert processors(*places) == 3


def test_a_part_of_a_processor_is_one(tmp_path, many):
    assert processors(*kernel(tmp_path, "0::/", {"cpu.max": "25000 100000"})) == 1


def test_an_affinity_mask_bounds_the_processors(tmp_path, many, monkeypatch):
    places = kernel(tmp_path, "0::/pod/box", POD)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 9})
    assert processors(*places) == 2


@pytest.mark.parametrize(
    ("lines", "files"),
    [("0::/", {}), ("2:cpu:/", NO_QUOTA), ("0::/", {"cpu.max": "damaged"})],
    ids=["none", "version 1", "damaged"],
)
def test_without_a_quota_all_processors_count(tmp_path, many, lines, files):
    assert processors(*kernel(tmp_path, lines, files)) == 96


def test_without_an_affinity_mask_all_processors_count(tmp_path, many, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processors(tmp_path / "no kernel", tmp_path) == 96


def test_a_container_limit_bounds_the_free_memory(tmp_path):
    places = kernel(tmp_path, "0::/pod/box", POD)
    assert list(container_bytes(*places)) == [350]
    assert machine_limits.free_memory(*places) == 350


def test_limits_of_control_groups_version_1_are_found(tmp_path):
    assert list(container_bytes(*kernel(tmp_path, DOCKER_LINES, DOCKER))) == [300]


def test_without_limits_the_free_memory_is_the_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_limits, "process_bytes", list)
    assert list(container_bytes(tmp_path / "no kernel", tmp_path)) == []
    free = machine_limits.free_memory(*kernel(tmp_path, "0::/", {}))
    assert free == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.fixture
def pod(tmp_path, many, monkeypatch):
    """This process in the four processors and 1000 bytes of `POD`."""
    groups, mount = kernel(tmp_path, "0::/pod/box", POD)
    for function in (machine_limits.processors, machine_limits.free_memory):
        monkeypatch.setattr(function, "__defaults__", (groups, mount))


def test_evaluation_takes_the_memory_of_the_container(pod):
    assert memory.free_bytes(torch.device("cpu")) == 350


def test_threads_are_those_of_the_container(pod, monkeypatch):
    used = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 48)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(memory, "process_bytes", lambda: iter(()))
    assert "4 threads instead of 48" in memory.settle_threads()
    with thread_count(0):
        assert used == [4, 4]
    with thread_count(64):  # a number that the user gives holds
        assert used == [4, 4, 48, 64]


def test_processes_are_those_of_the_container(pod, monkeypatch):
    """Pools are only counted: 96 real ones would show nothing more."""
    from dgunet.data.check import examination
    from dgunet.data.store import prepare, verification

    asked = []

    class Pool:
        def __init__(self, workers, *_):
            asked.append(workers)
            raise KeyboardInterrupt

    monkeypatch.setattr(examination, "LARGE", -1)
    monkeypatch.setattr(examination, "ProcessPoolExecutor", Pool)
    with pytest.raises(KeyboardInterrupt):
        list(examination.examine_all([], observe=lambda done: None))
    assert asked == [4]
    assert prepare.processors is verification.processors is machine_limits.processors


MACHINE = {
    "dgunet/system/machine_limits.py",  # the helper
    "dgunet/tracking/provenance.py",  # names the machine, beside the number that is allowed
    "dgunet/tracking/machine_metrics.py",  # the machine's load
    "benchmarks/machine.py",  # names the machine
    "benchmarks/cost_accuracy.py",
    "benchmarks/training_speed.py",
}
"""Files that may ask for the whole machine: for a record, not to decide."""

WHOLE = {"cpu_count", "process_cpu_count", "sched_getaffinity", "virtual_memory"}


def test_only_records_ask_for_the_whole_machine():
    found = set()
    for top in ("dgunet", "benchmarks", "components", "pipelines"):
        for path in (ROOT / top).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            names = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
            if names & WHOLE:
                found.add(path.relative_to(ROOT).as_posix())
    assert found == MACHINE
