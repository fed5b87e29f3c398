"""The two fields of the package's metadata that depend on where the project is published.

A package index shows README.md without the repository, so that its relative links lead nowhere.
With DGUNET_PROJECT_URL (https://HOST/OWNER/dgunet, of GitHub or GitLab) they lead to the files of
this version's tag there, and the project's addresses are stated. Without it they become plain text.
"""

import os
import re
import tomllib
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?://|#)(?P<path>[^)\s]+)\)")


def readme_for_index(text: str, project: str, version: str) -> str:
    """Return the README with absolute links into ``project``, or without links and images."""

    def replaced(link: re.Match[str]) -> str:
        image, label, path = link["image"], link["text"], link["path"]
        if project:
            kind = "raw" if image else "blob"
            return f"{image}[{label}]({project}/{kind}/v{version}/{path})"
        return "" if image else label

    return LINK.sub(replaced, text)


def project_urls(project: str, version: str) -> dict[str, str]:
    """Return the addresses of the project's pages; none without ``project``."""
    if not project:
        return {}
    return {
        "Repository": project,
        "Documentation": f"{project}/blob/v{version}/docs/index.md",
        "Changelog": f"{project}/blob/v{version}/CHANGELOG.md",
        "Issues": f"{project}/issues",
    }


def checked(address: str) -> str:
    """Return the address without a closing slash; raise SystemExit unless it is one of a page."""
    if address and not re.fullmatch(r"https://[\w.-]+(/[\w.-]+)+/?", address):
        raise SystemExit(f"DGUNET_PROJECT_URL={address}: give https://HOST/OWNER/dgunet.")
    return address.rstrip("/")


VERSION = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
PROJECT = checked(os.environ.get("DGUNET_PROJECT_URL", ""))

setup(
    long_description=readme_for_index(
        (HERE / "README.md").read_text(encoding="utf-8"), PROJECT, VERSION
    ),
    long_description_content_type="text/markdown",
    project_urls=project_urls(PROJECT, VERSION),
)
