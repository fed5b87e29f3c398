"""Which heavy libraries each command imports; start-up is the time of these imports."""

import json
import os
import shutil
import subprocess
import sys

import pytest

HEAVY = {
    *("torch", "mlflow", "pandas", "pyarrow", "numpy", "scipy", "cv2", "PIL", "matplotlib"),
    *("h5py", "tifffile", "imagecodecs", "dvc", "kfp", "kubernetes", "boto3", "gradio", "docker"),
}

IMAGES = {"numpy", "cv2", "PIL"}

COMMANDS = {
    "--help": set(),
    "--version": set(),
    "nonsense": set(),
    "data --help": set(),
    "data list": set(),
    "data info Rain100L": set(),
    "data sources": set(),
    "data cards": set(),
    "describe": set(),
    "errata": set(),
    "drift a b": set(),
    "pipeline --help": set(),
    "train --help": set(),
    "protocols rain-y": {"numpy", "cv2"},
    "runs": {"numpy"},
    "clean": {"numpy"},
    "models list": {"numpy"},
    "tracking doctor --dry-run": {"numpy"},
    "data prepare Rain100L": IMAGES | {"pyarrow"},
    "data check Rain100L": IMAGES | {"pyarrow"},
    "explain 1 DGUNet PSNR": IMAGES | {"pandas", "pyarrow", "scipy"},
    "tables": IMAGES | {"pandas", "pyarrow", "scipy", "matplotlib"},
    "score a b": IMAGES | {"pyarrow", "tifffile", "imagecodecs"},
    "restore a --task derain --out b": IMAGES | {"tifffile", "imagecodecs", "torch"},
    "evaluate --sets Rain100L": IMAGES | {"pyarrow", "scipy", "torch"},
    "train derain": IMAGES | {"pandas", "pyarrow", "torch"},
}
"""Commands, and what each may import: exactly that of `HEAVY`."""

EACH_IN_A_FORK = """
import json, os, sys
import dgunet.cli
heavy, commands = map(json.loads, sys.argv[1:])
for command in commands:
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        with os.fdopen(read) as file:
            print(file.read())
        os.wait()
        continue
    sys.argv = ["dgunet", *command.split()]
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    try:
        dgunet.cli.main()
    except SystemExit:
        pass
    with os.fdopen(write, "w") as file:
        json.dump(sorted(set(sys.modules) & set(heavy)), file)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def found(project, tmp_path_factory):
    """The heavy libraries that each command has imported at its end, in an empty project."""
    home = tmp_path_factory.mktemp("start-up")
    shutil.copy(project / "params.yaml", home)
    dropped = ("DGUNET_", "MLFLOW_TRACKING")
    env = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    done = subprocess.run(
        [sys.executable, "-c", EACH_IN_A_FORK, json.dumps([*HEAVY]), json.dumps([*COMMANDS])],
        cwd=home,
        env=env | {"PYTHONPATH": str(project), "DGUNET_TRACKING": "off"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(zip(COMMANDS, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_only_what_it_needs(found, command):
    assert set(found[command]) == COMMANDS[command]


def test_every_word_of_the_command_line_is_that_of_its_module():
    """The command of a word is found without the other modules."""
    import typer

    from dgunet.cli import register_all

    for words, add in register_all.GROUPS:
        app = typer.Typer()
        app.callback()(lambda: None)
        add(app)
        assert tuple(typer.main.get_command(app).commands) == words
