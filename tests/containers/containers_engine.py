"""Run commands in containers of the image."""

import shlex
import subprocess

IMAGE = "dgunet:local"
RESTRICTED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
"""Options like those of the strictest pod security policy of a cluster."""


class Engine:
    """Run containers without a network and remove them; ``facts`` describe the image."""

    def __init__(self, facts):
        self.facts = facts

    def run(self, *command, options=(), user=None):
        """Run a command that must succeed in a new container; return its output."""
        done = self.attempt(*command, options=options, user=user)
        assert not done.returncode, f"{shlex.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *command, options=(), user=None):
        """Run a command that may fail; return the finished process."""
        given = ["docker", "run", "--rm", "--network", "none", *options]
        given += ["--user", user] if user else []
        return subprocess.run(
            [*given, IMAGE, *command], capture_output=True, text=True, check=False
        )
