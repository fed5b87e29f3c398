"""Images that need more memory than is free are refused, and the others are restored."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from evaluation_stand_ins import Smooth, photo
from PIL import Image

from dgunet.evaluation import memory
from dgunet.evaluation.networks import TooLargeError
from dgunet.evaluation.restoration import restore_image
from dgunet.system.errors import EvaluationError, exhausts_memory
from dgunet.user_images.restoring import read_image


class Exhausted(torch.nn.Module):
    """Allocates more memory than any machine has, or raises the given error."""

    def __init__(self, error=None):
        super().__init__()
        self.error = error

    def forward(self, y):
        if self.error is not None:
            raise self.error
        return [torch.empty(2**58), y]


@pytest.mark.parametrize(
    "error",
    [
        None,
        MemoryError("Unable to allocate 7 GiB"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_a_failed_allocation_is_reported_as_exhausted_memory(monkeypatch, error):
    with pytest.raises(TooLargeError, match="exhausts the memory"):
        restore_image(Exhausted(error), photo())
    with pytest.raises(ValueError, match="not memory"):
        restore_image(Exhausted(ValueError("not memory")), photo())


def test_out_of_memory_errors_of_every_library_are_recognised():
    for error in (
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate"),
        Exception("OpenCV(4.12) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate"),
    ):
        assert exhausts_memory(error)
    assert not exhausts_memory(RuntimeError("shapes differ"))
    assert not exhausts_memory(KeyboardInterrupt("out of memory"))


def test_a_process_limit_bounds_the_free_memory(monkeypatch):
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20, hard))
    try:
        free = memory.free_bytes(torch.device("cpu"))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert 200 * 2**20 < free <= 300 * 2**20
    assert memory.free_bytes(torch.device("cpu")) > free


def test_a_thread_is_started_only_if_its_memory_is_free(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(memory, "processors", lambda: 4)
    for free, threads in (((), []), ((8 * 2**30,), []), ((8 * 2**30, 2**29), [1])):
        chosen.clear()
        monkeypatch.setattr(memory, "process_bytes", lambda free=free: iter(free))
        assert ("1 thread instead of 4" in memory.settle_threads()) == bool(threads)
        assert chosen == threads


def test_too_little_memory_to_decode_is_reported_with_the_size(tmp_path, monkeypatch):
    Image.fromarray(photo()).save(tmp_path / "a.png")

    def none(image):
        raise MemoryError

    monkeypatch.setattr("dgunet.user_images.decoding._shallow", none)
    with pytest.raises(
        TooLargeError, match=r"a\.png: there is not enough memory to decode it \(32x24"
    ):
        read_image(tmp_path / "a.png")


def test_under_a_memory_limit_large_images_are_refused_and_others_restored(tmp_path, tiny):
    """The limit is set in the shell, as by a batch system."""
    Image.new("RGB", (6000, 5000)).save(tmp_path / "large.png")
    Image.new("RGB", (12000, 9000)).save(tmp_path / "larger.png")
    Image.fromarray(photo()).save(tmp_path / "small.png")
    code = "import dgunet.user_images.restoring; print(open('/proc/self/statm').read())"
    probe = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pages = int(probe.stdout.split()[0])
    limit = pages * resource.getpagesize() // 1024 + 400_000
    main = "from dgunet.cli import main; main()"
    command = f"ulimit -v {limit}; exec {sys.executable} -c '{main}' restore {tmp_path}"
    done = subprocess.run(
        ["bash", "-c", f"{command} --checkpoint {tiny} --out {tmp_path}/out"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("dgunet: error")]
    assert len(lines) == 2 and "Traceback" not in done.stderr
    assert all("GB" in line and "large" in line for line in lines), lines
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.png"]


def test_exhausted_memory_during_the_probe_is_a_refusal(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    monkeypatch.setattr(memory, "bytes_per_pixel", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(EvaluationError, match=r"more than 0\.00 GB"):
        memory.require_memory(Smooth(), (24, 32, 3))
