"""``params.yaml`` is checked before anything runs, and errors name the key."""

import copy
import shutil
from pathlib import Path

import pytest
import yaml

from dgunet.config import check_params, load_params
from dgunet.system.errors import ConfigError
from dgunet.terms import check_task

ROOT = Path(__file__).parents[2]


@pytest.fixture
def content():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def test_the_shipped_file_is_valid_in_all_profiles(content):
    for profile in ("sample", "reduced", "paper"):
        content["profile"] = profile
        assert check_params(content, "params.yaml").active.train["derain"].iterations > 0


def test_the_paper_profile_has_the_values_of_section_4_1():
    paper = load_params(ROOT / "params.yaml").paper
    for task in ("derain", "deblur", "denoise"):
        settings = paper.train[task]
        assert (settings.iterations, settings.batch, settings.patch) == (400_000, 16, 256)
        assert settings.learning_rate == 2e-4
        assert settings.warmup > 0
    assert paper.train["cs"].batch == 128
    assert paper.train["cs"].patch == 32
    assert paper.train["cs"].learning_rate == 1e-4
    assert paper.network == {}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "sample.train.derain.patch",
            47,
            "sample.train.derain.patch is 47, allowed: a multiple of 8",
        ),
        ("profile", "laptop", "profile is 'laptop', allowed: 'sample', 'reduced' or 'paper'"),
        ("sample.train.derain.iterations", 0, "iterations is 0, allowed: a whole number from 1 to"),
        ("sample.train.derain.itertions", 5, "did you mean iterations?"),
        ("variants", [], "variants is []"),
        ("seed", "x", "seed is 'x'"),
    ],
)
def test_a_wrong_value_is_reported_with_the_allowed_values(content, path, value, expected):
    wrong = copy.deepcopy(content)
    *parents, key = path.split(".")
    at = wrong
    for parent in parents:
        at = at[parent]
    at[key] = value
    with pytest.raises(ConfigError) as refusal:
        check_params(wrong, "params.yaml")
    assert expected in str(refusal.value)


def test_a_missing_key_is_reported(content):
    del content["seed"]
    with pytest.raises(ConfigError, match="seed is missing"):
        check_params(content, "params.yaml")


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no parameter file"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="not a mapping"):
        load_params(tmp_path / "params.yaml")


def test_an_unknown_task_lists_the_tasks():
    with pytest.raises(ConfigError, match="derain, deblur, denoise, cs"):
        check_task("dehaze")


@pytest.mark.parametrize(
    "change",
    [
        *("seed=5", "weights=released", "sample.train.denoise.iterations=41"),
        *("sample.train.cs.validation.interval=500", "sample.runtime.threads=16"),
        *("paper.train.derain.learning_rate=0.002", "sample.ablate.iterations=100000"),
        "paper.evaluate.keep_images=50",
    ],
)
def test_a_setting_of_a_dvc_experiment_changes_one_line(project, tmp_path, change):
    """Comments and layout of the other lines stay; `dvc exp run -S` calls this function."""
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    shutil.copy(project / "params.yaml", path)
    before = path.read_text().splitlines()
    apply_overrides(path, [change])
    after = path.read_text().splitlines()
    key, _, value = change.partition("=")
    (changed,) = [new for old, new in zip(before, after, strict=True) if old != new]
    assert f"{key.rpartition('.')[2]}: {value}" in changed
