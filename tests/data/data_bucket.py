"""A real S3 server for tests: SeaweedFS's ``weed``, with signatures checked."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

KEY, SECRET = "dgunet-tests", "not-a-secret-of-anybody"
PROBE = "probe"
SERVICES = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")


def find_weed():
    """The ``weed`` program next to this Python or on the path, or None."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


class S3Server:
    """A server with ``buckets`` that can be killed and restarted with the same content.

    Needs ``weed``. ``url`` is its address, which does not change.
    """

    def __init__(self, folder, *buckets):
        self.buckets = buckets
        self._folder = folder
        self._process = None
        ports = _free_ports(len(SERVICES))
        self.url = f"http://127.0.0.1:{ports[SERVICES.index('s3.port')]}"
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        settings = {
            "dir": folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": folder / "s3.json",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "bucket": ",".join((*buckets, PROBE)),
            "master.telemetry": "false",
            "webdav": "false",
            "admin.ui": "false",
            **dict(zip(SERVICES, ports, strict=True)),
        }
        self._command = [f"-{key}={value}" for key, value in settings.items()]

    def start(self):
        """Start the server; returns when it answers."""
        command = [find_weed(), "mini", *self._command]
        with (self._folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        _wait(self._process, self.url, self.buckets, self._folder / "weed.log")

    def kill(self):
        """Kill the server, as by a power failure."""
        self._process.kill()
        self._process.wait()

    def kill_when(self, condition):
        """Start a thread that kills the server once ``condition(client)`` is true; gives it."""

        def watch():
            s3 = client(self.url)
            end = time.monotonic() + 60
            while not condition(s3):
                if time.monotonic() > end:
                    return
                time.sleep(0.005)
            self.kill()

        thread = threading.Thread(target=watch)
        thread.start()
        return thread

    @property
    def lives(self):
        return self._process.poll() is None

    def stop(self):
        """Terminate the server, or kill it if that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(4)  # after a restart it would take half a minute
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def s3_server(folder, *buckets):
    """Run a server with ``buckets``; yields its address. Needs ``weed``."""
    server = S3Server(folder, *buckets)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def client(url):
    """A client with all permissions."""
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )  # fmt: skip


def _wait(process, url, buckets, log):
    """Wait until the buckets and stored content are available, not only the port."""
    end = time.monotonic() + 60
    while True:
        try:
            s3 = client(url)
            for bucket in buckets:
                s3.head_bucket(Bucket=bucket)
            if not s3.list_objects_v2(Bucket=PROBE).get("KeyCount"):
                s3.put_object(Bucket=PROBE, Key=PROBE, Body=bytes(100_000))
            s3.get_object(Bucket=PROBE, Key=PROBE)
            return
        except (BotoCoreError, ClientError):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"weed did not start:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.2)


def _free_ports(count):
    """Free ports whose second port, 10,000 higher, is free as well."""
    found = []
    while len(found) < count:
        with socket.socket() as low, socket.socket() as high:
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1] - 20_000
            if port < 1_024:
                continue
            try:
                with socket.socket() as itself:
                    itself.bind(("127.0.0.1", port))
                high.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            if port not in found:
                found.append(port)
    return found
