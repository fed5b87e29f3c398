"""``dgunet evaluate`` plans its evaluations and reports everything missing before it starts."""

from pathlib import Path

import pytest

from dgunet import network
from dgunet.project import ProjectFolders
from dgunet.steps.evaluation_plan import plan_evaluations
from dgunet.system.errors import CheckpointError, ConfigError, DataError

RAIN = ["Test100", "Rain100H", "Rain100L", "Test2800", "Test1200"]


@pytest.fixture
def here(tmp_path):
    """A project in which every dataset has a manifest and no network is trained."""
    for name in (*RAIN, "GoPro", "HIDE", "RealBlur-J", "SIDD", "DND", "Set11", "BSD68"):
        store = ProjectFolders(tmp_path).store(name)
        store.mkdir(parents=True)
        (store / "manifest.json").touch()
    return ProjectFolders(tmp_path)


def saved(folder, *preset, **changes):
    path = folder / "mine.safetensors"
    tiny = {"n_feat": 8, "scale": 4, "last_width": 4}
    network.save_network(network.DGUNet(network.preset(*preset, **tiny, **changes)), path)
    return path


def test_all_with_a_checkpoint_means_every_test_set_of_its_task(here, tmp_path):
    weights = saved(tmp_path, "derain", "DGUNet+")
    planned = plan_evaluations("all", here, checkpoint=weights)
    assert [each.dataset for each in planned] == RAIN
    assert {each.variant for each in planned} == {"DGUNet+"}
    assert all(each.models == {None: weights} for each in planned)
    assert planned[0].out == here.evaluation("Test100", "DGUNet+")
    (one,) = plan_evaluations("Rain100L", here, checkpoint=weights, out=Path("results"))
    assert one.out == Path("results") / "Rain100L-DGUNet+"


def test_the_ratio_is_read_from_a_compressive_sensing_checkpoint(here, tmp_path):
    weights = saved(tmp_path, "cs", ratio=10)
    planned = plan_evaluations("all", here, checkpoint=weights)
    assert [(each.dataset, each.models) for each in planned] == [
        ("Set11", {10: weights}),
        ("BSD68", {10: weights}),
    ]


def test_test_sets_of_another_task_are_refused(here, tmp_path):
    with pytest.raises(CheckpointError, match="is a network for derain; GoPro is for deblur"):
        plan_evaluations("Rain100L,GoPro", here, checkpoint=saved(tmp_path, "derain"))


def test_all_missing_weights_and_datasets_are_reported_together(here):
    with pytest.raises(CheckpointError, match=r"2 of 2 weights .*derain-DGUNet.*deblur-DGUNet"):
        plan_evaluations("Rain100L,GoPro,HIDE", here)
    for name in ("GoPro", "HIDE"):
        (here.store(name) / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"2 of 3 .*GoPro \(.*, HIDE \(.*--sets Rain100L\."):
        plan_evaluations("Rain100L,GoPro,HIDE", here)


def test_a_ratio_is_refused_for_other_tasks(here):
    with pytest.raises(ConfigError, match="--ratio 10 is for compressive sensing"):
        plan_evaluations("Rain100L", here, ratio=10)
    with pytest.raises(CheckpointError, match=r"1 of 1 weights .*cs-r10-DGUNet"):
        plan_evaluations("Set11", here, ratio=10)
