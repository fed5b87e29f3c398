"""Fixtures: a project without data, and a stand-in of the internet for it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from campaign_project import CampaignProject
from data_internet import internet


@pytest.fixture
def net():
    with internet() as net:
        yield net


@pytest.fixture
def empty(tmp_path, project, net, warm):
    """A project folder with the shipped parameters and nothing else."""
    home = tmp_path / "a project"
    home.mkdir()
    (home / "params.yaml").write_text((project / "params.yaml").read_text())
    (home / "records").mkdir()
    return CampaignProject(home, project, net, warm)
