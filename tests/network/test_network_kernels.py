"""Portable kernels compute the same bits whatever the machine offers."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dgunet.network import kernels as module
from dgunet.network.kernels import CAPS, kernels

SCRIPT = Path(__file__).with_name("kernels_digest.py")
EMULATED = ("Haswell", "EPYC")
"""Intel and AMD processors with AVX2 and other caches; the emulator has no AVX-512."""
OTHER_MACHINE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "SSE4_2",
    "OMP_NUM_THREADS": "2",
}


def digests(choice, settings=(), before=()):
    """The digests of trained weights and of restored images by case, from a new process."""
    kept = {k: v for k, v in os.environ.items() if k not in OTHER_MACHINE}
    done = subprocess.run(
        [*before, sys.executable, str(SCRIPT), choice],
        env=kept
        | dict(settings)
        | {"PYTHONPATH": f"{SCRIPT.parents[2]}{os.pathsep}{SCRIPT.parents[1]}"},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def test_portable_kernels_do_not_depend_on_what_the_machine_offers():
    assert digests("portable", OTHER_MACHINE) == digests("portable")


@pytest.mark.parametrize("choice", ["fastest", "portable"])
def test_convolutions_on_a_gpu_are_without_tf32_within_the_block(choice):
    before = torch.backends.cudnn.allow_tf32
    with kernels(choice):
        assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32 is before is True, "else the test shows nothing"


def test_the_fastest_kernels_do():
    """Else the test above shows nothing."""
    here, there = digests("fastest"), digests("fastest", OTHER_MACHINE)
    assert all(here[case] != there[case] for case in here)


@pytest.mark.skipif(
    os.environ.get("DGUNET_TEST_EMULATED") != "1" or not shutil.which("qemu-x86_64"),
    reason="opt-in, ten minutes each: DGUNET_TEST_EMULATED=1 and qemu-x86_64 (qemu-user)",
)
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cpu", EMULATED)
def test_portable_kernels_give_the_same_on_an_emulated_processor(cpu):
    assert digests("portable", before=("qemu-x86_64", "-cpu", cpu)) == digests("portable")


def test_other_libraries_are_left_out_within_the_block_only(monkeypatch):
    for name in CAPS:
        monkeypatch.delenv(name, raising=False)
    before = torch.backends.mkldnn.enabled, torch._C._get_nnpack_enabled()
    with kernels("fastest"):
        assert (torch.backends.mkldnn.enabled, torch._C._get_nnpack_enabled()) == before
        assert not set(CAPS) & set(os.environ)
    with kernels("portable"):
        assert not torch.backends.mkldnn.enabled
        assert not torch._C._get_nnpack_enabled()
        assert {name: os.environ[name] for name in CAPS} == CAPS
    assert (torch.backends.mkldnn.enabled, torch._C._get_nnpack_enabled()) == before


@pytest.mark.parametrize(("found", "warned"), [("AVX2", False), ("AVX512", True)])
def test_a_process_that_has_computed_before_is_warned_of(found, warned, monkeypatch, caplog):
    monkeypatch.setattr(module.torch.backends.cpu, "get_cpu_capability", lambda: found)
    for name in CAPS:
        monkeypatch.setenv(name, CAPS[name])
    with caplog.at_level(logging.WARNING), kernels("portable"):
        pass
    assert (f"this process has {found}" in caplog.text) == warned
