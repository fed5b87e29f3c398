"""Commands of dgunet, run in forked processes that are killed at a chosen file operation.

The operations are the points of ``tests/killing.py``.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

from tests.killing import KillPoints


def run_killed(arguments, home, *, at=0, env=None, log=None, seconds=0):
    """Run ``dgunet`` in a fork.

    Args:
        arguments: the arguments of the command.
        home: the project; operations on files below it count.
        at: the operation at which to kill; 0 never kills.
        env: additional environment variables.
        log: file for the output.
        seconds: time after which SIGALRM ends the command; 0 for no limit.

    Returns:
        The exit status (negative for a signal), and the number of operations.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.close(reading)
            handle = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            os.chdir(home)
            signal.alarm(seconds)
            os.environ.update(env or {})
            os.environ["DGUNET_HOME"] = str(home)
            sys.argv = ["dgunet", *map(str, arguments)]
            operations = KillPoints(home, at)
            operations.install()
            from dgunet.cli import main

            try:
                main()
                status = 0
            except SystemExit as stop:
                status = int(stop.code or 0)
            os.write(writing, str(operations.count).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as handle:
        count = handle.read()
    _, raw = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(raw), int(count or 0)


def contents(folder):
    """Return the bytes of every file below ``folder``, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }
