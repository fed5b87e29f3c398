"""`docker run` of the image, as the tests use it."""

import shlex
import subprocess

IMAGE = "dgunet:local"
RESTRICTED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
"""As a cluster's strictest policy runs a container."""


class Engine:
    """Runs containers without a network and removes them; ``facts`` are the image's."""

    def __init__(self, facts):
        self.facts = facts

    def run(self, *command, options=(), user=None):
        """Output of a command that must succeed in a new container."""
        done = self.attempt(*command, options=options, user=user)
        assert not done.returncode, f"{shlex.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *command, options=(), user=None):
        """As `run`, for what may fail; the finished process."""
        given = ["docker", "run", "--rm", "--network", "none", *options]
        given += ["--user", user] if user else []
        return subprocess.run(
            [*given, IMAGE, *command], capture_output=True, text=True, check=False
        )
