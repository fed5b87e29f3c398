"""Fixtures for opt-in tests of the Docker image of this checkout."""

import json
import os
import subprocess

import pytest
from containers_engine import IMAGE, Engine

WANTED = os.environ.get("DGUNET_TEST_DOCKER") == "1"


def pytest_collection_modifyitems(items):
    opt_in = pytest.mark.skip(reason="opt-in, needs Docker: make containers")
    for item in items if not WANTED else ():
        if item.path.parent.name == "containers":
            item.add_marker(opt_in)


@pytest.fixture(scope="session")
def engine():
    """The Docker engine; its image must have the code of this checkout."""
    from dgunet.system.package_digest import code_version

    done = subprocess.run(
        ["docker", "image", "inspect", IMAGE], capture_output=True, text=True, check=False
    )
    assert not done.returncode, f"make image first: {done.stderr}"
    (facts,) = json.loads(done.stdout)
    made = Engine(facts)
    ask = "from dgunet.system.package_digest import code_version; print(code_version())"
    assert made.run("python", "-c", ask).strip() == code_version(), (
        "the image has other code: make image"
    )
    return made
