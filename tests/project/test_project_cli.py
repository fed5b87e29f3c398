"""Help of the command line; bad input gives one clear line and a non-zero exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERBS = (
    "data",
    "train",
    "evaluate",
    "ablate",
    "tables",
    "restore",
    "report",
    "explain",
    "tracking",
)


@pytest.fixture
def dgunet(dgunet, tmp_path, monkeypatch):
    """Run `dgunet` in an empty project that has only the parameter file."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("DGUNET_HOME", raising=False)
    return dgunet


def test_the_installed_command_says_an_error_in_one_line(tmp_path):
    result = subprocess.run(
        [Path(sys.executable).with_name("dgunet"), "tables"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "DGUNET_HOME"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("dgunet: error: no params.yaml")
    assert len(result.stderr.strip().splitlines()) == 1


def test_help_lists_the_verbs(dgunet):
    result = dgunet("--help")
    assert result.returncode == 0
    for verb in VERBS:
        assert verb in result.stdout


@pytest.mark.parametrize("verb", ["train", "evaluate", "ablate", "explain"])
def test_help_of_a_verb_gives_an_example(dgunet, verb):
    assert "Example" in dgunet(verb, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "dehaze"), "unknown task 'dehaze'. Tasks are: derain, deblur, denoise, cs."),
        (("train", "cs"), "has a --ratio"),
        (("train", "derain", "--ratio", "10"), "has a --ratio"),
        (("train", "derain"), "Rain13K"),
        (("train", "derain", "--variant", "DGUnet"), "DGUnet"),
        (("evaluate", "--sets", "Rain100X"), "'Rain100X' is not a test set"),
        (("ablate", "stages-8"), "unknown ablation 'stages-8'"),
        (("data", "prepare", "Rain100L"), "Rain100L"),
        (("explain", "1", "DGUNet", "Rain100L PSNR"), "no tables in"),
        (("train", "derain", "--params", "absent.yaml"), "no parameter file absent.yaml"),
    ],
)
def test_bad_input_is_one_line(dgunet, arguments, says):
    result = dgunet(*arguments)
    assert result.returncode == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_outside_a_project_it_says_so(dgunet, tmp_path):
    (tmp_path / "params.yaml").unlink()
    result = dgunet("tables")
    assert result.returncode == 1
    assert "no params.yaml" in result.stderr
