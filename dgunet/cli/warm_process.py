"""A process that has imported the libraries, and forks itself for each command of ``dgunet``.

    python -m dgunet.cli.warm_process COMMAND [ARGUMENTS]...

runs COMMAND with ``DGUNET_WARM`` set: every ``dgunet`` that it starts runs in a fork of this
process and need not import torch, pandas and the other libraries, which takes longer than many of
the steps. Modules of dgunet itself are read anew for each command, as they may have been edited.

A fork computes what a new process computes: the libraries are imported and nothing has been
computed. A command whose environment has other values of the variables that libraries read when
they are imported is left to its caller.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from dgunet.cli.warm_client import FORWARDED, NUMBER, end_as
from dgunet.system import environment

READ_AT_IMPORT = (
    *("PYTHON", "LC_", "LANG", "LD_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_"),
    *("CUDA_", "TORCH", "MPL", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"),
)
"""Beginnings of the names of variables that the interpreter and libraries read only once."""

NOT_COMPARED = {
    *("PYTHONPATH", "PYTHONUNBUFFERED"),
    *("MKL_CBWR", "LD_LIBRARY_PATH", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"),
}
"""Exceptions: a fork takes over the first two, MKL reads its variable when it first computes, and
cv2 (one) and scikit-learn or threadpoolctl (two) set the last three when they are imported, so that
a command whose parent has imported them, such as a step of a local pipeline run, has them as well.
"""


@dataclass
class _Running:
    """A command in a fork: its process, and the connection of its caller."""

    pid: int
    caller: socket.socket


class WarmProcess:
    """Serves commands on a socket in a private folder while its own command runs.

    Args:
        variables: the environment before the libraries were imported.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dgunet-warm-"))
        self.address = str(self._folder / "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen()
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(self._listener, selectors.EVENT_READ, self._accept)
        self._commands: dict[int, _Running] = {}
        self._callers: dict[int, _Running] = {}
        self._same = _fixed(sys.prefix, variables)

    def serve_while(self, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        """Fork for every command until ``process`` has ended.

        Returns:
            None in this process; in a fork, the command to run. The frames above run in both.
        """
        ended = os.pidfd_open(process.pid)
        self._waiting.register(ended, selectors.EVENT_READ, None)
        while True:
            key, _ = self._waiting.select()[0]  # one at a time: it may end the others
            if key.fd == ended:
                process.wait()
                return None
            if (command := key.data(key.fd)) is not None:
                process.returncode = 0  # it is no child of the fork, which does not wait for it
                return dict(command)

    def close(self) -> None:
        """Kill the commands that still run, and remove the socket."""
        for running in self._commands.values():
            os.kill(running.pid, signal.SIGKILL)
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self, _: int) -> dict[str, Any] | None:
        """Fork for a command; the result is the command in the fork, and None here."""
        caller, _address = self._listener.accept()
        try:
            command, streams = _receive(caller)
            same = _fixed(command["prefix"], command["variables"]) == self._same
        except (OSError, ValueError, KeyError):  # not from this version of the client
            caller.close()
            return None
        pid = os.fork() if same else None
        if pid == 0:
            caller.close()
            self._become(command, streams)
            return command
        for stream in streams:
            os.close(stream)
        with suppress(OSError):
            caller.sendall((pid or 0).to_bytes(NUMBER))
        if pid is None:
            caller.close()
            return None
        handle, running = os.pidfd_open(pid), _Running(pid, caller)
        self._commands[handle] = self._callers[caller.fileno()] = running
        self._waiting.register(handle, selectors.EVENT_READ, self._ended)
        self._waiting.register(caller, selectors.EVENT_READ, self._left)
        return None

    def _become(self, command: Mapping[str, Any], streams: list[int]) -> None:
        """Take over the streams, signals, folder, variables and arguments of the caller."""
        self._listener.close()
        self._waiting.close()
        for handle, running in self._commands.items():
            os.close(handle)
            running.caller.close()
        os.setsid()  # a signal of the terminal reaches the caller, which forwards it
        for number in FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in command["ignored"]:
            signal.signal(number, signal.SIG_IGN)
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
            os.close(stream)
        os.chdir(command["folder"])
        environment.replace_variables(command["variables"])
        sys.argv, sys.path[:] = command["arguments"], command["path"]

    def _left(self, handle: int) -> None:
        """Kill a command whose caller is gone, which means that the caller was killed."""
        self._waiting.unregister(handle)
        os.kill(self._callers[handle].pid, signal.SIGKILL)

    def _ended(self, handle: int) -> None:
        """Send the status of a command that has ended to its caller."""
        running = self._commands.pop(handle)
        del self._callers[running.caller.fileno()]
        _, status = os.waitpid(running.pid, 0)
        self._waiting.unregister(handle)
        os.close(handle)
        with suppress(KeyError):  # it has left
            self._waiting.unregister(running.caller)
        with suppress(OSError):
            running.caller.sendall(status.to_bytes(NUMBER))
        running.caller.close()


def _receive(caller: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A command and the streams of its caller.

    Raises:
        OSError: if the connection breaks.
        ValueError: if the content is no command.
    """
    length, streams, _, _ = socket.recv_fds(caller, NUMBER, 3)
    content = caller.recv(int.from_bytes(length), socket.MSG_WAITALL)
    return json.loads(content), streams


def _fixed(prefix: str, variables: Mapping[str, str]) -> dict[str, str]:
    """What cannot be changed in a fork: the installation, and variables that are read once."""
    once = {
        name: value
        for name, value in variables.items()
        if name.startswith(READ_AT_IMPORT) and name not in NOT_COMPARED
    }
    return once | {"prefix": prefix}


def _import_libraries() -> None:
    """Import what the commands import; libraries of an extra only if they are installed."""
    import filelock  # noqa: F401
    import h5py  # noqa: F401
    import jinja2  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import PIL.Image  # noqa: F401
    import psutil  # type: ignore[import-untyped]  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pydantic  # noqa: F401
    import rich.console  # noqa: F401
    import safetensors.torch  # noqa: F401
    import scipy.io  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import torch._dynamo  # noqa: F401  # the first optimiser of a process imports it
    import torch.utils.data  # noqa: F401
    import tqdm  # noqa: F401
    import typer  # noqa: F401
    import yaml  # noqa: F401

    from dgunet.imaging.opencv import cv2  # noqa: F401

    with suppress(ModuleNotFoundError):
        import mlflow.pyfunc  # noqa: F401


def _open_streams(*, lines: bool) -> None:
    """Open the streams anew: the former objects know the files of the warm process.

    Args:
        lines: write every line of the output at once, also to a file or pipe.
    """
    sys.stdin = _reopened(sys.stdin, "r")
    sys.stdout = _reopened(sys.stdout, "w", buffering=1 if lines else -1)
    sys.stderr = _reopened(sys.stderr, "w", buffering=1)


def _reopened(stream: TextIO, mode: str, buffering: int = -1) -> TextIO:
    return open(  # type: ignore[return-value]
        stream.fileno(), mode, buffering, stream.encoding, stream.errors, closefd=False
    )


def _run(command: Mapping[str, Any]) -> None:
    """Run the command in this fork, with modules of dgunet as they are on the disk."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "dgunet"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    _open_streams(lines="PYTHONUNBUFFERED" in command["variables"])
    if module := command["module"]:
        _run_module(module)
        return
    from dgunet import cli

    cli.run_here()


def _run_module(name: str) -> None:
    """Do what ``python -m name`` does; after Ctrl-C it ends by SIGINT.

    By itself a fork would end with status 1, since torch's compiler is imported.
    """
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.stdout.flush()
        end_as(signal.SIGINT)


def main() -> None:
    """Run the command of ``sys.argv`` with a warm process, and exit with its status."""
    if not sys.argv[1:]:
        sys.exit("usage: python -m dgunet.cli.warm_process COMMAND [ARGUMENTS]...")
    variables = environment.for_child()
    _import_libraries()  # which changes some variables
    gc.collect()
    gc.freeze()  # else the collector of a fork writes to, and so copies, all pages
    warm = WarmProcess(variables)
    process = subprocess.Popen(sys.argv[1:], env=variables | {environment.WARM.name: warm.address})
    # A signal of the terminal reaches the command itself; this process ends after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    command = warm.serve_while(process)
    if command is not None:
        _run(command)
        return
    warm.close()
    sys.exit(process.returncode if process.returncode >= 0 else 128 - process.returncode)


if __name__ == "__main__":
    main()
