"""The package's metadata is right where the repository is not: on a package index."""

import os
import re
import shutil
import subprocess
import sys
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
ADDRESS = "https://git.example.org/group/dgunet"
BUILD = "from setuptools.build_meta import prepare_metadata_for_build_wheel as make; make('made')"


def build(folder, address):
    """Build the package's metadata in ``folder`` as pip does."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    (folder / "made").mkdir()
    return subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=folder,
        env=os.environ | {"DGUNET_PROJECT_URL": address},
        capture_output=True,
        text=True,
    )


def metadata(folder, address):
    done = build(folder, address)
    assert not done.returncode, done.stderr
    (found,) = folder.glob("made/*.dist-info/METADATA")
    return message_from_string(found.read_text(encoding="utf-8"))


def linked():
    """The repository's files that the README links."""
    links = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [link for link in links if "://" not in link]


def test_links_of_a_published_package_lead_to_the_files_of_its_version(tmp_path):
    made = metadata(tmp_path, ADDRESS + "/")
    version = made["Version"]
    wanted = {f"{ADDRESS}/blob/v{version}/{link}" for link in linked() if not link.endswith("png")}
    found = set(LINK.findall(made.get_payload()))
    assert wanted <= found
    assert f"{ADDRESS}/raw/v{version}/docs/images/restored.png" in found
    assert all(link.startswith("https://") for link in found)
    addresses = dict(each.split(", ") for each in made.get_all("Project-URL"))
    assert addresses["Repository"] == ADDRESS
    for page in ("Documentation", "Changelog"):
        path = addresses[page].removeprefix(f"{ADDRESS}/blob/v{version}/")
        assert (ROOT / path).is_file()


def test_without_an_address_no_link_leads_nowhere(tmp_path):
    made = metadata(tmp_path, "")
    text = made.get_payload()
    assert made.get_all("Project-URL") is None
    assert all(link.startswith("https://") for link in LINK.findall(text))
    assert "docs/campaign.md" in text
    assert "restored.png" not in text


@pytest.mark.parametrize(
    "address", ["git.example.org/dgunet", "https://git.example.org", "https://a b/c"]
)
def test_a_wrong_address_is_refused(tmp_path, address):
    done = build(tmp_path, address)
    assert done.returncode
    assert f"DGUNET_PROJECT_URL={address}: give https://HOST/OWNER/dgunet." in done.stderr
