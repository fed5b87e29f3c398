"""Writes the lock files of the image, with a hash for each package, from requirements.lock.

Usage: python -m pipelines.image_lock
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from dgunet.system.errors import DgunetError
from dgunet.system.files import write_text

ROOT = Path(__file__).parents[1]
PACKAGE = ".[tracking,dvc,s3,pipeline,sample,export]"  # not for the demo, tests and notebooks
MADE = "Made by `make lock` for CPython 3.11 on Linux x86-64."
HEAD = f"""\
# Packages of the image except torch: the part of requirements.lock that dgunet needs to run.
# {MADE}
"""
HEAD_CUDA = f"""\
# torch and its CUDA libraries, from the public index: for the GPU image.
# {MADE}
"""
HEAD_SERVER = f"""\
# What the MLflow server of compose.yaml needs besides the image of the project.
# {MADE}
"""


def locks() -> dict[str, str]:
    """The text of each lock file: what pip would install with the pins of requirements.lock.

    Raises:
        DgunetError: if pip finds no matching packages.
    """
    pins = _pins()
    torch = pins.pop("torch")
    packages = _resolved(PACKAGE)
    known = pins | {"setuptools": ""}  # `pip freeze` never lists setuptools
    # Other packages without a pin belong to the CUDA build of torch.
    common = {name: line for name, line in packages.items() if name in known}
    cuda = _resolved(f"torch==={torch}")  # === excludes the CPU build, 2.13.0+cpu
    return {
        "requirements.image.lock": HEAD + _text(common),
        "requirements.cuda.lock": HEAD_CUDA
        + _text({name: line for name, line in cuda.items() if name not in common}),
        "deploy/mlflow-server/requirements.lock": HEAD_SERVER + _text(_resolved("psycopg2-binary")),
    }


def _text(lines: dict[str, str]) -> str:
    return "".join(f"{lines[name]}\n" for name in sorted(lines))


def _resolved(requirement: str) -> dict[str, str]:
    """A line with version and SHA-256 for each package that pip selects; installs nothing."""
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
        *("--report", "-", "--constraint", "requirements.lock", requirement),
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        raise DgunetError(f"pip finds no packages for {requirement}.", "See pip's message above.")
    lines = {}
    for entry in json.loads(done.stdout)["install"]:
        name, version = entry["metadata"]["name"], entry["metadata"]["version"]
        hashes = entry["download_info"].get("archive_info", {}).get("hashes", {})
        if _normal(name) != "dgunet":
            lines[_normal(name)] = f"{name}=={version} --hash=sha256:{hashes['sha256']}"
    return lines


def _pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if not line.startswith("#"))
    return {_normal(name): version for name, version in pins}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    for name, text in locks().items():
        write_text(ROOT / name, text)
