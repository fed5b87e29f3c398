"""Commands that only read leave a folder as it is and import only what they need."""

import subprocess
import sys
from pathlib import Path

import pytest
from help_examples import leaves_of_app

ROOT = Path(__file__).parents[2]

READING = {
    "campaign": ("table1", "--plan", "--probe-seconds", "0"),
    "checkpoint info": ("network.safetensors",),
    "claims": (),
    "clean": (),
    "data cards": (),
    "data croissant": ("Rain100H",),
    "data info": ("Rain100H",),
    "data list": (),
    "data sources": ("Rain100H",),
    "data verify": ("Rain100H",),
    "describe": ("derain",),
    "errata": (),
    "drift": ("a", "b"),
    "explain": ("1", "DGUNet (reproduced)", "Rain100L PSNR"),
    "models list": (),
    "models promote": ("derain", "--dry-run"),
    "pipeline plan": ("reproduce", "--cluster", "absent.yaml"),
    "pipeline doctor": ("--cluster", "my-cluster.yaml"),
    "pipeline logs": ("0b1c2d3e",),
    "pipeline status": (),
    "pipeline versions": (),
    "protocols": ("rain-y",),
    "recipe": ("paper", "derain"),
    "reduced-run": ("--plan",),
    "runs": (),
    "score": ("results", "target", "--protocol", "rain-y"),
    "selftest metrics": (),
    "status": (),
    "tracking doctor": ("--dry-run",),
    "tracking status": (),
    "verify": (),
}
"""Commands that change nothing with these arguments."""

WRITING = {
    "demo",
    *("bundle", "evaluate", "report", "tables", "train"),
    "calibrate",
    *("data check", "data fetch", "data import", "data prepare", "data sample"),
    *("checkpoint export", "checkpoint fetch", "checkpoint import"),
    *("dnd bundle", "dnd record", "inspect", "measure", "reconstruct", "restore"),
    *("models official", "models register", "pipeline cancel", "pipeline compile"),
    *("pipeline run", "pipeline submit", "tracking init", "tracking sync", "tracking ui"),
}
"""Commands whose purpose is to make or change something."""

VARIANTS = {
    "runs --server": ("runs", "--server"),
    "models register": ("models", "register", "derain"),
    "tracking doctor": ("tracking", "doctor"),
}
"""Further calls that find nothing to do in an empty folder."""

HEAVY = {"torch", "mlflow", "sqlalchemy", "pandas", "scipy", "matplotlib", "cv2", "kfp", "dvc"}

IMPORTS = {
    "describe": set(),
    "errata": set(),
    "data cards": set(),
    "data list": set(),
    "models list": set(),
    "pipeline status": set(),
    "protocols": {"cv2"},
    "tracking doctor": set(),
    "tracking status": set(),
    "runs": set(),
    "status": set(),
    "drift": set(),
    "explain": {"cv2", "pandas", "scipy"},
    "recipe": {"cv2", "torch"},
}
"""The heavy packages that a command of `READING` may import."""


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty working directory, which is no project."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("DGUNET_HOME", "MLFLOW_TRACKING_URI", "DGUNET_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_every_command_is_known_to_read_or_to_write():
    found = {name for name, _ in leaves_of_app()}
    assert found == set(READING) | WRITING
    assert not set(READING) & WRITING


@pytest.mark.parametrize(
    "arguments",
    [(*name.split(), *given) for name, given in READING.items()] + list(VARIANTS.values()),
    ids=[*READING, *VARIANTS],
)
@pytest.mark.parametrize("project_files", [(), ("params.yaml",)], ids=["empty", "project"])
def test_a_command_that_only_reads_makes_no_file(dgunet, empty, arguments, project_files):
    for name in project_files:
        (empty / name).write_text((ROOT / name).read_text())
    done = dgunet(*arguments)
    assert [path.name for path in empty.rglob("*")] == [*project_files]
    assert done.returncode == 0 or done.stderr.splitlines()[-1].startswith("dgunet: error: ")
    assert done.returncode in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models", "list"), "dgunet models register derain"),
        (("models", "promote", "derain", "--profile", "sample"), "dgunet train derain"),
        (("runs",), "dgunet train"),
        (("runs", "--server"), "dgunet train"),
    ],
    ids=["models-list", "models-promote", "runs", "runs-server"],
)
def test_an_empty_answer_says_what_to_do(dgunet, empty, arguments, said):
    done = dgunet(*arguments)
    assert said in done.stdout + done.stderr


def imported(folder, *arguments):
    """The heavy packages that a run of ``dgunet`` imports."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('imported', *({HEAVY!r} & set(sys.modules))))\n"
        f"sys.argv = ['dgunet', *{arguments!r}]\n"
        "from dgunet.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("name", IMPORTS)
def test_a_command_imports_only_what_it_needs(empty, name):
    if name == "explain":  # else it ends before it imports anything
        (empty / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    assert imported(empty, *name.split(), *READING[name]) <= IMPORTS[name]


def test_no_help_imports_anything_heavy():
    code = (
        "import sys, typer; from typer.testing import CliRunner; from dgunet.cli import command\n"
        "app = command()\n"
        "def walk(c, path=()):\n"
        "    assert CliRunner().invoke(app, [*path, '--help']).exit_code == 0, path\n"
        "    for name, child in getattr(c, 'commands', {}).items(): walk(child, (*path, name))\n"
        "walk(typer.main.get_command(app))\n"
        f"print(*({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
