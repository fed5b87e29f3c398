"""Commands of dgunet run in forked processes that die of SIGKILL at a chosen file operation.

A file operation is anything that changes a name or opens a file for writing below the watched
folder, or flushes to the disk. The process dies just before it, so killing before every operation
also kills after every operation but the last.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

NAMING = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Operations:
    """Counts the file operations of this process below ``top``, and dies before the ``at``-th."""

    def __init__(self, top, at=0):
        self.top, self.at, self.count = str(top), at, 0

    def install(self):
        """From here on, for the rest of the process."""
        real = os.fsync

        def fsync(handle):
            self._happened()
            return real(handle)

        os.fsync = fsync
        sys.addaudithook(self._audit)

    def _audit(self, event, arguments):
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & WRITES
            if writes and self._below(path):
                self._happened()
        elif event in NAMING and any(self._below(each, arguments) for each in arguments[:2]):
            self._happened()

    def _below(self, path, arguments=()):
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str | os.PathLike):
            return False
        path = os.fspath(path)
        folder = arguments[-1] if arguments and isinstance(arguments[-1], int) else -1
        if folder > 2 and not path.startswith("/"):
            return True  # shutil.rmtree names files by the handle of their folder
        return os.path.abspath(path).startswith(self.top)  # noqa: PTH100 - no call that opens

    def _happened(self):
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def run_killed(arguments, home, *, at=0, env=None, log=None, seconds=0):
    """Run ``dgunet`` in a fork; gives its exit status (negative: a signal) and its operations.

    Args:
        arguments: of the command.
        home: the project; also the folder whose operations count.
        at: the operation to die before; 0 lives.
        env: further environment.
        log: file for what it prints.
        seconds: after which SIGALRM ends it; 0 waits.
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
            operations = Operations(home, at)
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
        told = handle.read()
    _, raw = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(raw), int(told or 0)


def contents(folder):
    """Every file below ``folder`` with its bytes; for comparing results."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }
