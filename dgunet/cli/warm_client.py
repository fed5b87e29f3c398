"""The side of the caller: hands its command to the process that ``DGUNET_WARM`` names.

The command runs there with the arguments, working directory, environment and open streams of this
process, which forwards signals to it, waits, and ends as it ended. ``python -m
dgunet.cli.warm_client MODULE`` does the same for ``python -m MODULE``.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dgunet.system import environment

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that reach the command through this process."""

NUMBER = 4
"""Bytes of a number on the socket."""


def run_in_warm_process(module: str = "") -> None:
    """Run the command in the warm process and exit like it; return if there is none to run it.

    Args:
        module: a module to run as ``python -m`` does; by default the command line of dgunet.
    """
    address = environment.WARM.get()
    if not address or not hasattr(socket, "send_fds"):
        return
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(address)
            _send_command(server, module)
            pid = _number(server)
        except OSError:  # it has ended, or it never began
            return
        if not pid:
            return
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _forward_to(pid))
        status = _number(server)
    if status is None:  # the warm process was killed; its commands must not outlive it
        os.kill(pid, signal.SIGKILL)
        status = signal.SIGKILL
    _end_as(status)


def _send_command(server: socket.socket, module: str) -> None:
    command = {
        "module": module,
        "arguments": sys.argv,
        "folder": str(Path.cwd()),
        "path": sys.path,
        "prefix": sys.prefix,
        "variables": environment.variables(),
        "ignored": [n for n in FORWARDED if signal.getsignal(n) is signal.SIG_IGN],
    }
    content = json.dumps(command).encode()
    socket.send_fds(server, [len(content).to_bytes(NUMBER)], [0, 1, 2])
    server.sendall(content)


def _number(server: socket.socket) -> int | None:
    """The next number that the warm process sends; None at the end of the connection."""
    content = server.recv(NUMBER, socket.MSG_WAITALL)
    return int.from_bytes(content) if len(content) == NUMBER else None


def _forward_to(pid: int) -> signal._HANDLER:
    def forward(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it ended meanwhile, and its status is on the way
            os.kill(pid, number)

    return forward


def _end_as(status: int) -> None:
    """End with the status of ``os.waitpid``: the same code, or by the same signal."""
    if os.WIFSIGNALED(status):
        if (number := os.WTERMSIG(status)) != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status))


def main() -> None:
    """Run the module that ``sys.argv`` names, with the arguments after it."""
    module = sys.argv.pop(1)
    run_in_warm_process(module)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
