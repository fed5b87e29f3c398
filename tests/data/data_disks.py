"""Small disks: tmpfs mounts, which need root."""

import os
import subprocess
from contextlib import contextmanager

import pytest


def mount(*arguments):
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a file system")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")


@contextmanager
def read_only(folder):
    mount("-o", "remount,ro", str(folder))
    yield
    mount("-o", "remount,rw", str(folder))


def fill(folder):
    """Fill the disk of ``folder`` completely."""
    with (folder / "ballast").open("wb", buffering=0) as handle:
        try:
            while True:
                handle.write(bytes(4096))
        except OSError:
            pass
