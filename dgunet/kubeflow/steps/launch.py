"""Training on all GPUs of one machine: ``dgunet train`` under ``torchrun``, or in this process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from dgunet.config import parse_params
from dgunet.steps.train import train_ablation, train_network
from dgunet.system import environment
from dgunet.system.errors import DgunetError


def train_on_machine(
    params: str,
    task: str,
    *,
    variant: str,
    ratio: int | None = None,
    ablation: str = "",
    store: Path,
    out: Path,
    processes: int = 0,
) -> Path:
    """Train as `dgunet.steps.train` does, in several processes.

    Args:
        params: the text of ``params.yaml``.
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements, for cs only.
        ablation: key of an ablation, "" for a network of Tables 1-4.
        store: the prepared training set.
        out: folder of the result.
        processes: number of processes; 0: one for each GPU.

    Raises:
        DgunetError: if a process fails; its output is above the error in the log.
    """
    parsed = parse_params(params)
    count = processes or gpus()
    if count <= 1 and ablation:
        return train_ablation(parsed, ablation, store=store, out=out)
    if count <= 1:
        return train_network(parsed, task, variant=variant, ratio=ratio, store=store, out=out)
    with TemporaryDirectory() as scratch:
        params_file = Path(scratch) / "params.yaml"
        params_file.write_text(params, encoding="utf-8")
        command = train_command(task, variant, ratio, ablation, params_file, store, out)
        done = subprocess.run(
            torchrun(count) + command,
            check=False,
            env=environment.for_child({environment.PARENT.name: str(os.getpid())}),
        )
    if done.returncode:
        raise DgunetError(
            f"{count} processes training {task} {ablation or variant} ended with status"
            f" {done.returncode}.",
            "The log above has the cause; a retried step resumes from the last checkpoint.",
        )
    return out / "network.safetensors"


def gpus() -> int:
    """Number of GPUs visible to this process."""
    import torch

    return torch.cuda.device_count()


def torchrun(processes: int) -> list[str]:
    """The start of a command under ``torchrun`` on one machine.

    The address is fixed: ``--standalone`` uses the host name, which may not resolve in a pod; its
    rendezvous then waits for minutes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        *(sys.executable, "-m", "dgunet.training.workers", "--nnodes", "1"),
        *("--nproc-per-node", str(processes), "--rdzv-backend", "static"),
        *("--master-addr", "127.0.0.1", "--master-port", str(port)),
    ]


def train_command(
    task: str,
    variant: str,
    ratio: int | None,
    ablation: str,
    params: Path,
    store: Path,
    out: Path,
) -> list[str]:
    """``dgunet train`` with all files as options, for torchrun on one or several nodes.

    ``ablation`` is "" for a network of Tables 1-4.
    """
    command = [dgunet(), "train", task, "--variant", variant]
    command += ["--ratio", str(ratio)] if ratio is not None else []
    command += ["--ablation", ablation] if ablation else []
    return [*command, "--params", str(params), "--store", str(store), "--out", str(out)]


def dgunet() -> str:
    """Path of the ``dgunet`` command of this environment; its name if it is elsewhere on PATH."""
    path = Path(sys.executable).with_name("dgunet")
    return str(path) if path.is_file() else "dgunet"
