"""The side of the caller: hands its command to the process that ``DGUNET_WARM`` names.

The command runs there with the arguments, working directory, environment and open streams of this
process, which forwards signals to it, waits, and ends as it ended. ``python -m
dgunet.cli.warm_client`` acts as ``python`` and does the same for ``-m MODULE``.
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
from typing import Any

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
    with socket.socket(socket.AF_UNIX) as server, _Forwarding() as forwarding:
        try:
            server.connect(address)
            _send_command(server, module)
            pid = _number(server)
        except OSError:  # it has ended, or it never began
            return
        if not pid:
            return
        forwarding.begin(pid)
        status = _number(server)
    if status is None:  # the warm process was killed; its commands must not outlive it
        os.kill(pid, signal.SIGKILL)
        status = signal.SIGKILL
    end_as(status)


class _Forwarding:
    """Within the block, signals are kept, and sent to the command as soon as it has begun."""

    def __init__(self) -> None:
        self._pid = 0
        self._kept: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Forwarding:
        for number in FORWARDED:
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN:
                self._before[number] = handler
                signal.signal(number, self._forward)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if not self._pid:  # no command has begun: the signals are for this process
            for number in self._kept:
                os.kill(os.getpid(), number)

    def begin(self, pid: int) -> None:
        """Send the signals to the process ``pid``, those that came before as well."""
        self._pid = pid
        while self._kept:
            self._forward(self._kept.pop(0), None)

    def _forward(self, number: int, _: FrameType | None) -> None:
        if not self._pid:
            self._kept.append(number)
            return
        with suppress(ProcessLookupError):  # it ended meanwhile, and its status is on the way
            os.kill(self._pid, number)


def _send_command(server: socket.socket, module: str) -> None:
    command = {
        "module": module,
        "arguments": sys.argv,
        "folder": str(Path.cwd()),
        "path": sys.path,
        "prefix": sys.prefix,
        "variables": environment.for_child(),
        "ignored": [n for n in FORWARDED if signal.getsignal(n) is signal.SIG_IGN],
    }
    content = json.dumps(command).encode()
    socket.send_fds(server, [len(content).to_bytes(NUMBER)], [0, 1, 2])
    server.sendall(content)


def _number(server: socket.socket) -> int | None:
    """The next number that the warm process sends; None at the end of the connection."""
    content = server.recv(NUMBER, socket.MSG_WAITALL)
    return int.from_bytes(content) if len(content) == NUMBER else None


def end_as(status: int) -> None:
    """End with the status of ``os.waitpid``: the same code, or by the same signal."""
    if os.WIFSIGNALED(status):
        if (number := os.WTERMSIG(status)) != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status))


def main() -> None:
    """Act as ``python`` with the arguments of ``sys.argv``; ``-m MODULE`` in the warm process."""
    if sys.argv[1:2] != ["-m"] or not sys.argv[2:]:
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    module = sys.argv[2]
    del sys.argv[1:3]
    run_in_warm_process(module)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
