"""The services of deploy/mlflow-server, under names of their own."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "mlflow-server"
PAGE = ROOT / "docs" / "mlflow.md"
IMAGES = ("DGUNET_IMAGE", "POSTGRES_IMAGE", "S3_IMAGE")
"""Variables that replace images; MLFLOW_IMAGE is built."""

COMPOSE_1 = """
docker() {  # `docker compose` in the words of docker-compose 1, which cannot wait
  if [ "$1" != compose ]; then command docker "$@"; return; fi
  shift
  local word words=() waits=no
  for word; do if [ "$word" = --wait ]; then waits=yes; else words+=("$word"); fi; done
  docker-compose --no-ansi "${words[@]}" || return
  while [ "$waits" = yes ] && command docker ps --quiet --filter health=starting \
    --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" | grep --quiet .
  do sleep 1; done
}
"""


def documented(heading):
    """The shell blocks of a section of docs/mlflow.md, without those of its subsections."""
    text = PAGE.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ )", text, re.DOTALL | re.M)
    return re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def _has_compose_2():
    command = ["docker", "compose", "version"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


class Services:
    """A copy of the folder with its own volumes, networks and port; ``host`` is the public name.

    Needs ``docker compose``, or docker-compose 1.
    """

    def __init__(self, folder, host):
        self.folder = folder / "mlflow-server"
        shutil.copytree(FOLDER, self.folder, ignore=shutil.ignore_patterns(".env"))
        self.project = f"dgunet-test-{secrets.token_hex(3)}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        used = re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text(encoding="utf-8"))
        images = {name: os.environ[name] for name in IMAGES if name in os.environ}
        self._environment = {k: v for k, v in os.environ.items() if k not in used} | images
        self._environment |= {
            "COMPOSE_PROJECT_NAME": self.project,
            "MLFLOW_IMAGE": f"{self.project}:test",
            "PUBLISH_PORT": str(self.port),
            "PUBLIC_NAME": host,
        }
        self._prelude = "set -eu -o pipefail\n" + ("" if _has_compose_2() else COMPOSE_1)

    def run(self, commands):
        """Run shell commands that must succeed, in the folder; return their output."""
        done = self.attempt(commands)
        assert not done.returncode, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, commands):
        """Run shell commands that may fail; return the finished process."""
        return subprocess.run(
            ["bash", "-c", self._prelude + commands], cwd=self.folder, env=self._environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip

    def containers(self):
        """The facts of ``docker inspect`` for every container, by service."""
        listed = self.run("docker compose ps --quiet").split()
        facts = json.loads(self.run(f"docker inspect {' '.join(listed)}")) if listed else []
        return {fact["Config"]["Labels"]["com.docker.compose.service"]: fact for fact in facts}

    def wait(self, condition=lambda containers: True):
        """Wait until ``condition`` is true and all services are healthy."""
        end = time.monotonic() + 400
        while time.monotonic() < end:
            found = self.containers()
            states = {n: c["State"].get("Health", {}).get("Status") for n, c in found.items()}
            if found and set(states.values()) == {"healthy"} and condition(found):
                return
            time.sleep(1)
        raise TimeoutError(f"{states}\n{self.run('docker compose logs --tail 40')}")

    def secrets(self):
        """The passwords in .env, by name."""
        lines = (self.folder / ".env").read_text(encoding="utf-8").splitlines()
        found = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
        assert len(set(found.values())) == len(found) > 0
        assert all(len(value) == 48 for value in found.values())
        return found
