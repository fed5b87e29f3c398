"""`dgunet demo` as a process, used over HTTP as the page does."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Demo:
    """A running demo.

    Attributes:
        address: of the page.
        home: the project whose weights it offers.
        temporary: the folder for temporary files, which holds nothing of other programs.
    """

    def __init__(self, home, temporary, *options):
        self.home, self.temporary = home, temporary
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dgunet", "demo", *options],
            cwd=home,
            env=os.environ
            | {
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(temporary),
                "OMP_NUM_THREADS": "1",
                "http_proxy": "http://127.0.0.1:9",  # nothing may leave, not even to a proxy
                "https_proxy": "http://127.0.0.1:9",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self.process.stdout.readline().partition(" ")[0]
        assert self.address.startswith("http://127.0.0.1:"), self.process.communicate()

    def stop(self, name):
        """Send a signal; gives the exit status, the rest of the output and the messages."""
        self.process.send_signal(name)
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out, err


@contextmanager
def running(home, temporary, *options):
    demo = Demo(home, temporary, *options)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.stop(signal.SIGTERM)
