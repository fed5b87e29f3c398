"""A tiny project: short training, two prepared datasets and one trained network."""

import pytest

from dgunet.config import load_params
from dgunet.project import ProjectFolders
from dgunet.steps.prepare import prepare_store
from dgunet.steps.train import train_network


@pytest.fixture(scope="session")
def params(project):
    """The shipped parameters with training cut to a few steps."""
    shipped = load_params(project / "params.yaml")
    quick = {"iterations": 4, "warmup": 1}
    tasks = {
        task: settings.model_copy(update=quick) for task, settings in shipped.sample.train.items()
    }
    return shipped.model_copy(update={"sample": shipped.sample.model_copy(update={"train": tasks})})


@pytest.fixture(scope="session")
def small(project, params, sample_root, tmp_path_factory):
    """A project folder with prepared Rain13K and Rain100L, and a network trained on the first."""
    home = tmp_path_factory.mktemp("small project")
    (home / "params.yaml").write_text((project / "params.yaml").read_text())
    here = ProjectFolders(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_HOME", str(home))
        patch.setenv("DGUNET_TRACKING", "off")
        for name in ("Rain13K", "Rain100L"):
            prepare_store(params.profile, name, root=sample_root, out=here.store(name))
        train_network(
            params, "derain", store=here.store("Rain13K"), out=here.model("derain-DGUNet")
        )
    return here


@pytest.fixture
def silent(small, monkeypatch):
    """Steps called in this test work in the small project and log no runs."""
    monkeypatch.setenv("DGUNET_HOME", str(small.home))
    monkeypatch.setenv("DGUNET_TRACKING", "off")


@pytest.fixture
def weights(small):
    """The file of the trained network."""
    return small.model("derain-DGUNet") / "network.safetensors"
