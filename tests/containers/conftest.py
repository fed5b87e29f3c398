"""A Docker engine and the image of this checkout: opt-in, and then nothing is skipped."""

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
    """The engine, once its image is known to hold this checkout's code."""
    from dgunet.kubeflow.steps.code_pins import code_version

    done = subprocess.run(
        ["docker", "image", "inspect", IMAGE], capture_output=True, text=True, check=False
    )
    assert not done.returncode, f"make image first: {done.stderr}"
    (facts,) = json.loads(done.stdout)
    made = Engine(facts)
    ask = "from dgunet.kubeflow.steps.code_pins import code_version; print(code_version())"
    assert made.run("python", "-c", ask).strip() == code_version(), "other code: make image"
    return made
