"""Fixtures of the training tests."""

from __future__ import annotations

import pytest
from training_small import ROOT, SmallProject


@pytest.fixture(scope="session")
def derain_store(tmp_path_factory):
    """The prepared deraining training set of the sample data."""
    from dgunet.data.sample.generate import generate_sample
    from dgunet.data.store.prepare import prepare_dataset

    home = tmp_path_factory.mktemp("sample")
    data = ROOT / "data" / "sample"
    if not (data / "train" / "Rain13K").is_dir():
        data = home / "data"
        generate_sample(data)
    prepare_dataset("Rain13K", data, home / "store", profile="sample")
    return home / "store"


@pytest.fixture
def small(tmp_path, derain_store):
    """A small project with a link to the prepared store."""
    home = tmp_path / "a project"
    home.mkdir()
    (home / "store").symlink_to(derain_store)
    made = SmallProject(home)
    made.write_params()
    return made
