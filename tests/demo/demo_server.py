"""`dgunet demo` as a process, used over HTTP as the page does."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import tifffile
from PIL import Image

ROOT = Path(__file__).parents[2]
RAIN = "Remove rain (DGUNet, sample, seconds of training)"
BLUR = "Remove blur (DGUNet, sample, seconds of training)"


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


def events(demo, *payloads, task=RAIN):
    """Press the button with each of ``payloads`` as the file; gives the events of the answers."""
    config = httpx.get(f"{demo.address}config").json()
    (number,) = [one["id"] for one in config["dependencies"] if one["api_name"] == "restore"]
    session = f"{random.getrandbits(64)}"
    for one in payloads:
        body = {"data": [one, task, 8], "fn_index": number, "session_hash": session}
        httpx.post(f"{demo.address}gradio_api/queue/join", json=body).raise_for_status()
    address = f"{demo.address}gradio_api/queue/data?session_hash={session}"
    with httpx.stream("GET", address, timeout=60) as stream:
        for line in filter(None, stream.iter_lines()):
            yield json.loads(line.removeprefix("data: "))


def payload(path):
    """A file on the demo's machine, as the page sends it."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def send(demo, path):
    """Press the button with the file at ``path`` on the demo's machine; gives the last answer."""
    *_, last = [one for one in events(demo, payload(path)) if one["msg"] == "process_completed"]
    return last


def upload(demo, name, content):
    """The path of an uploaded file on the demo's machine; None if it was refused."""
    answer = httpx.post(f"{demo.address}gradio_api/upload", files={"files": (name, content)})
    return answer.json()[0] if answer.status_code == 200 else None


def save(photo, path):
    if path.suffix == ".tif":
        tifffile.imwrite(path, photo.astype(np.uint16) * 257, photometric="rgb")
    else:
        Image.fromarray(photo).save(path)
