"""Every command has help; bad input ends in one clear line and a non-zero exit status."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dgunet import __version__ as dgunet_version
from dgunet.cli import command

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "data",
    "train",
    "evaluate",
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


def test_the_installed_command_prints_an_error_in_one_line(tmp_path):
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


def test_the_package_runs_as_a_module(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "dgunet", "--version"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == f"dgunet {dgunet_version}\n"
    assert result.stderr == ""


def test_help_lists_the_commands(dgunet):
    result = dgunet("--help")
    assert result.returncode == 0
    for name in COMMANDS:
        assert name in result.stdout


@pytest.mark.parametrize("command", ["train", "evaluate", "explain"])
def test_help_of_a_command_has_an_example(dgunet, command):
    assert "Example" in dgunet(command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "dehaze"), "unknown task 'dehaze'. Tasks are: derain, deblur, denoise, cs."),
        (("train", "cs"), "Use --ratio for compressive sensing"),
        (("train", "derain", "--ratio", "10"), "Use --ratio for compressive sensing"),
        (("train", "derain"), "Rain13K"),
        (("train", "derain", "--variant", "DGUnet"), "DGUnet"),
        (("evaluate", "--sets", "Rain100X"), "'Rain100X' is not a test set"),
        (("train", "derain", "--ablation", "stages-8"), "unknown ablation 'stages-8'"),
        (("train", "deblur", "--ablation", "stages-9"), "modify DGUNet+ for derain"),
        (("train", "derain", "--ablation", "stages-9", "--ratio", "1"), "together with --ratio"),
        (("evaluate", "--ablation", "stages-8"), "unknown ablation 'stages-8'"),
        (("evaluate", "--ablation", "stages-9", "--sets", "Set11"), "evaluated on Rain100H"),
        (("data", "prepare", "Rain100L"), "Rain100L"),
        (("explain", "1", "DGUNet", "Rain100L PSNR"), "no tables in"),
        (("train", "derain", "--params", "absent.yaml"), "no parameter file absent.yaml"),
    ],
)
def test_bad_input_is_a_one_line_error(dgunet, arguments, expected):
    result = dgunet(*arguments)
    assert result.returncode == 1
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_running_outside_a_project_is_refused(dgunet, tmp_path):
    (tmp_path / "params.yaml").unlink()
    result = dgunet("tables")
    assert result.returncode == 1
    assert "no params.yaml" in result.stderr


def every_command(parent, path=()):
    """(path, command) of the application and of all commands below it."""
    yield path, parent
    for name, child in getattr(parent, "commands", {}).items():
        yield from every_command(child, (*path, name))


def test_the_help_of_every_command_shows_defaults_and_examples(monkeypatch):
    # rich takes "[default: ...]" within a help text for markup and drops it.
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    app = command()
    for path, each in every_command(typer.main.get_command(app)):
        shown = CliRunner().invoke(app, [*path, "--help"], prog_name="dgunet").output
        assert "Example: " in shown, path
        assert not re.search(r"\S\n *Example:", each.help), "the site joins lines of a paragraph"
        for parameter in each.params:
            assert "[" not in (getattr(parameter, "help", None) or ""), path
            if isinstance(getattr(parameter, "show_default", None), str):
                assert f"[default: ({parameter.show_default})]" in shown, path
