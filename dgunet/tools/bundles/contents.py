"""What a bundle says about the code and the environment, without names of machine or user."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import dgunet
from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.system.errors import DataError
from dgunet.system.files import sha256_source
from dgunet.system.git import git_output
from dgunet.system.package_digest import code_version
from dgunet.system.processor import processor_entry

NO_SBOM = (
    "This bundle has no software bill of materials: {0}. environment.json lists the installed "
    "packages.\n"
)
SBOM, SBOM_LOCK = "sbom.cdx.json", "requirements.image.lock"
SBOM_SECONDS = 120
SCORING = ("evaluation", "imaging")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


def environment(home: Path | None) -> dict[str, Any]:
    """Versions of code, Python and packages, and the kind of machine.

    Args:
        home: folder of the project, whose commit is named; None outside of one.
    """
    commit = git_output(home, "rev-parse", "HEAD") if home else None
    changed = git_output(home, "status", "--porcelain", "--untracked-files=no") if home else None
    found = (each.metadata for each in metadata.distributions())
    packages = {each["Name"]: each["Version"] for each in found}
    return {
        "dgunet": dgunet.__version__,
        "code": code_version(),
        "commit": commit,
        "uncommitted changes": None if changed is None else bool(changed),
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": processor_entry("model name") or platform.machine(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def protocol_definitions(names: Iterable[str]) -> list[dict[str, Any]]:
    """Name, version, definition and its digest, and digests of the code, of each protocol."""
    package = Path(dgunet.__file__).parent
    code = {
        path.relative_to(package.parent).as_posix(): sha256_source(path)
        for part in SCORING
        for path in sorted((package / part).glob("*.py"))
    }
    return [
        {
            "name": (rules := PROTOCOLS[name]).name,
            "version": rules.version,
            "digest": rules.digest,
            "definition": rules.describe(),
            "code": code,
        }
        for name in sorted(set(names))
    ]


def write_bill_of_materials(home: Path | None, folder: Path) -> None:
    """Write ``sbom.cdx.json`` as SECURITY.md says, or ``sbom.txt``, which says why there is none.

    The packages are those of ``requirements.image.lock`` in ``home``.
    """
    if home and (home / SBOM_LOCK).is_file():
        reason = _make_bill(home, folder / SBOM)
    else:
        reason = f"there was no {SBOM_LOCK} of a clone, which lists the packages"
    if reason:
        (folder / SBOM).unlink(missing_ok=True)
        (folder / "sbom.txt").write_text(NO_SBOM.format(reason), encoding="utf-8")


def _make_bill(home: Path, out: Path) -> str:
    """Write the bill of materials to ``out``; return why that failed, otherwise ""."""
    beside = Path(sys.executable).parent  # of an environment that need not be active
    command = shutil.which("cyclonedx-py", path=beside) or shutil.which("cyclonedx-py")
    if command is None:
        return "cyclonedx-py was not installed (`pipx install cyclonedx-bom`)"
    words = ("requirements", SBOM_LOCK, "--pyproject", "pyproject.toml", "--output-reproducible")
    try:
        done = subprocess.run(
            [command, *words, "--output-file", str(out.resolve())],
            cwd=home,
            capture_output=True,
            timeout=SBOM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"cyclonedx-py took longer than {SBOM_SECONDS} s"
    except OSError as error:
        return f"cyclonedx-py could not be started ({error.strerror})"
    return f"cyclonedx-py failed with status {done.returncode}" if done.returncode else ""


def refuse_private(folder: Path, paths: Iterable[Path], environ: Mapping[str, str]) -> None:
    """Refuse a bundle whose text names a folder, the machine or a secret of this user.

    Args:
        folder: the bundle.
        paths: folders that must not be named, such as the project's.
        environ: environment, whose variables named like secrets are such.

    Raises:
        DataError: naming the file and the kind of what was found, never its value.
    """
    places = {str(path) for path in paths if len(path.parts) > 2}
    secrets = {v for k, v in environ.items() if _SECRET_NAME.search(k) and len(v) >= 8}
    host = platform.node()
    hosts = {host} if len(host) >= 6 and re.search(r"[\d-]", host) else set()  # else a plain word
    for here, _, names in os.walk(folder):
        for name in names:
            path = Path(here, name)
            if path.suffix not in (".parquet", ".safetensors") and name != "verify.py":
                text = path.read_bytes().decode(errors="replace")
                for kind, values in (
                    ("a path of this machine", places),
                    ("a secret of the environment", secrets),
                    ("the name of this machine", hosts),
                ):
                    if any(value in text for value in values):
                        where = path.relative_to(folder).as_posix()
                        raise DataError(
                            f"{where} of the bundle would contain {kind}.",
                            "Remove it from the file that it comes from.",
                        )
