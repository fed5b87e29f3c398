"""The command line teaches, and bad input is one clear line with a non-zero exit."""

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
    told = subprocess.run(
        [Path(sys.executable).with_name("dgunet"), "tables"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "DGUNET_HOME"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr.startswith("dgunet: error: no params.yaml")
    assert len(told.stderr.strip().splitlines()) == 1


def test_help_lists_the_verbs(dgunet):
    told = dgunet("--help")
    assert told.returncode == 0
    for verb in VERBS:
        assert verb in told.stdout


@pytest.mark.parametrize("verb", ["train", "evaluate", "ablate", "explain"])
def test_help_of_a_verb_gives_an_example(dgunet, verb):
    assert "Example" in dgunet(verb, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "dehaze"), "unknown task 'dehaze'. Tasks are: derain, deblur, denoise, cs."),
        (("train", "cs"), "Use --ratio for compressive sensing"),
        (("train", "derain", "--ratio", "10"), "Use --ratio for compressive sensing"),
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
    told = dgunet(*arguments)
    assert told.returncode == 1
    assert says in told.stderr
    assert "Traceback" not in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


def test_outside_a_project_it_says_so(dgunet, tmp_path):
    (tmp_path / "params.yaml").unlink()
    told = dgunet("tables")
    assert told.returncode == 1
    assert "no params.yaml" in told.stderr
