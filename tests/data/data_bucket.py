"""A real S3 server for tests: SeaweedFS's ``weed``, with signatures checked."""

import json
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

KEY, SECRET = "dgunet-tests", "not-a-secret-of-anybody"
SERVICES = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")


def find_weed():
    """The ``weed`` program beside this Python or on the path, or None."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def s3_server(folder, *buckets):
    """Run a server with ``buckets``; gives its address. Needs ``weed``."""
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = _free_ports(len(SERVICES))
    settings = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "bucket": ",".join(buckets),
        "master.telemetry": "false",
        "webdav": "false",
        "admin.ui": "false",
        **dict(zip(SERVICES, ports, strict=True)),
    }
    command = [find_weed(), "mini", *(f"-{key}={value}" for key, value in settings.items())]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{ports[SERVICES.index('s3.port')]}"
    try:
        _wait(process, url, buckets, folder / "weed.log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def client(url):
    """A client that may do everything."""
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )  # fmt: skip


def _wait(process, url, buckets, log):
    """An open port is not yet a server: ask for the buckets."""
    end = time.monotonic() + 60
    while True:
        try:
            for bucket in buckets:
                client(url).head_bucket(Bucket=bucket)
            return
        except (BotoCoreError, ClientError):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"weed did not start:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.2)


def _free_ports(count):
    """Ports whose neighbour 10,000 higher (each service's second port) is free as well."""
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
