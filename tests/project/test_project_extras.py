"""Without extras the package scores, restores and trains; the rest says what to install."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from dgunet.system.extras import EXTRAS, missing_extra

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WITHOUT = """
import json, sys
blocked = set(json.loads(sys.argv.pop(1)))
class Installed:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in blocked:
            return self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Installed(finder) for finder in sys.meta_path]
from dgunet.cli import main
main()
"""


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(requirements):
    """The names of ``requirements`` and of all that they require in this environment."""
    found, todo = set(), [Requirement(each) for each in requirements]
    while todo:
        requirement = todo.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": e}) for e in ("",)):
            continue
        if plain(requirement.name) in found:
            continue
        found.add(plain(requirement.name))
        try:
            needed = requires(requirement.name) or []
        except PackageNotFoundError:
            continue
        for line in needed:
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in extras):
                inner.marker = None
                todo.append(inner)
    return found


@pytest.fixture(scope="session")
def absent():
    """Every importable package that the dependencies without extras do not bring."""
    core = installed_with(PROJECT["dependencies"]) | {"dgunet", "setuptools", "pip"}
    return sorted(
        module
        for module, owners in packages_distributions().items()
        if not {plain(owner) for owner in owners} & core and module.isidentifier()
    )


@pytest.fixture
def without_extras(absent, tmp_path, project):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", WITHOUT, json.dumps(absent), *map(str, arguments)],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(project), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    return run


def test_the_extras_are_those_of_the_package():
    extras = PROJECT["optional-dependencies"]
    core = {plain(re.match(r"[\w.-]+", each)[0]) for each in PROJECT["dependencies"]}
    owners = packages_distributions()
    for module, extra in EXTRAS.items():
        brought = {plain(owner) for owner in owners[module]}
        assert brought & installed_with(extras[extra]), module
        assert not brought & core, module
    every = Requirement(extras["all"][0])
    assert set(EXTRAS.values()) - {"demo"} <= every.extras <= set(extras) - {"demo"}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mlflow", "pip install 'dgunet[tracking]'"),
        ("kfp.dsl", "pip install 'dgunet[pipeline]'"),
        ("dgunet.absent", ""),
        (None, ""),
    ],
)
def test_the_extra_to_install_is_named(name, wanted):
    message = missing_extra(ModuleNotFoundError("No module", name=name))
    assert message.endswith(wanted)
    assert bool(message) == bool(wanted)


def test_mlflow_dvc_and_kfp_are_absent(absent):
    assert {"mlflow", "dvc", "kfp", "boto3", "kubernetes", "skimage"} <= set(absent)
    assert not {"torch", "numpy", "cv2", "typer", "matplotlib"} & set(absent)


@pytest.mark.parametrize(
    "command",
    ["--help", "errata", "recipe paper derain", "data list", "describe derain", "models list"],
)
def test_commands_that_need_no_extra(without_extras, command):
    result = without_extras(*command.split())
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("tracking init", "tracking"),
        ("data sample --out made", "sample"),
        ("pipeline run reproduce", "pipeline"),
        ("data fetch Set11 s3://bucket/set11.zip", "s3"),
        ("demo", "demo"),
    ],
)
def test_a_missing_extra_is_named_in_one_line(without_extras, tmp_path, project, command, extra):
    (tmp_path / "params.yaml").write_bytes((project / "params.yaml").read_bytes())
    result = without_extras(*command.split())
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert f"pip install 'dgunet[{extra}]'" in result.stderr


@pytest.mark.slow
def test_a_user_without_extras_scores_restores_and_trains(
    without_extras, sample_root, tmp_path, project
):
    sets = tmp_path / "data" / "sample"
    for part in ("train/Rain13K", "test/Rain100L"):
        (sets / part).parent.mkdir(parents=True, exist_ok=True)
        (sets / part).symlink_to((sample_root / part).resolve())
    params = (project / "params.yaml").read_text()
    short = re.sub(r"(derain:\n +iterations: )60\b", r"\g<1>8", params, count=1)
    assert short != params
    (tmp_path / "params.yaml").write_text(short)
    rain = sets / "test" / "Rain100L"
    for command in (
        ("score", rain / "input", rain / "target", "--protocol", "rain-y"),
        ("data", "prepare", "Rain13K"),
        ("data", "prepare", "Rain100L"),
        ("train", "derain"),
        ("evaluate", "--sets", "Rain100L"),
        ("restore", rain / "input", "--out", "restored", "--checkpoint", "WEIGHTS"),
    ):
        weights = tmp_path / "build/models/trained/derain-DGUNet/network.safetensors"
        result = without_extras(*(weights if each == "WEIGHTS" else each for each in command))
        assert result.returncode == 0, (command, result.stderr)
    assert len(list((tmp_path / "restored").glob("*.png"))) == 3
    assert list((tmp_path / ".dgunet").rglob("*.jsonl")), "the runs wait in their journals"
