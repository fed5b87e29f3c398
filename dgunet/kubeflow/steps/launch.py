"""Training on all GPUs of one machine: `torchrun` over ``dgunet train``, or this process alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from dgunet.config import parse_params
from dgunet.steps.train import train
from dgunet.system import environment
from dgunet.system.errors import DgunetError


def train_on_machine(
    params: str,
    task: str,
    *,
    variant: str,
    ratio: int | None,
    store: Path,
    out: Path,
    processes: int = 0,
) -> Path:
    """As `dgunet.steps.train.train`, with ``processes`` of them; 0: one for each GPU.

    Args:
        params: the text of ``params.yaml``.

    Raises:
        DgunetError: if the processes fail; their own words are above it in the log.
    """
    parsed = parse_params(params)
    count = processes or gpus()
    if count <= 1:
        return train(parsed, task, variant=variant, ratio=ratio, store=store, out=out)
    with TemporaryDirectory() as scratch:
        knobs = Path(scratch) / "params.yaml"
        knobs.write_text(params, encoding="utf-8")
        command = train_command(task, variant, ratio, knobs, store, out)
        done = subprocess.run(
            torchrun(count) + command,
            check=False,
            env=environment.for_child({environment.PARENT.name: str(os.getpid())}),
        )
    if done.returncode:
        raise DgunetError(
            f"{count} processes training {task} {variant} ended with status {done.returncode}.",
            "The log above says why; a retried step goes on from the last checkpoint.",
        )
    return out / "network.safetensors"


def gpus() -> int:
    """How many GPUs this process sees."""
    import torch

    return torch.cuda.device_count()


def torchrun(processes: int) -> list[str]:
    """The start of a command on one machine.

    The address is fixed because a pod's own host name need not resolve, and the rendezvous of
    ``--standalone`` then waits for minutes.
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
    task: str, variant: str, ratio: int | None, params: Path, store: Path, out: Path
) -> list[str]:
    """``dgunet train`` with everything named; the same under torchrun on one or several nodes."""
    command = [dgunet(), "train", task, "--variant", variant]
    command += ["--ratio", str(ratio)] if ratio is not None else []
    return [*command, "--params", str(params), "--store", str(store), "--out", str(out)]


def dgunet() -> str:
    """The command of this environment, or its name where it lies on the path of another image."""
    beside = Path(sys.executable).with_name("dgunet")
    return str(beside) if beside.is_file() else "dgunet"
