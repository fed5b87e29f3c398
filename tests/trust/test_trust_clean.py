"""``dgunet clean`` lists everything that is not a result and only removes leftovers."""

import subprocess
import sys

import pytest
from filelock import FileLock

from dgunet.evaluation.unfinished import alone
from dgunet.system import leftovers

PLACE = ".dgunet/evaluations/Set11-DGUNet-0a1b2c3d"
ROWS = f"{PLACE}/0123456789abcdef"
"""Of a killed evaluation."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project with one leftover of each kind."""
    (tmp_path / "params.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DGUNET_HOME", raising=False)
    for folder in ("build/prepared", "build/evaluation/Set11-DGUNet", ROWS, ".dgunet/refused/one"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "build/evaluation/Set11-DGUNet/summary.json").write_text("{}")
    return tmp_path


def make(folder, name):
    path = folder / name
    path.mkdir()
    (path / "half").write_bytes(bytes(1500))
    return path


def test_only_leftovers_of_dead_processes_are_removed(home, dgunet, dead_name):
    dead = make(home / "build/prepared", dead_name("Set11"))
    ours = make(home / "build/prepared", leftovers.partial_name("Set11"))
    result = dgunet("clean")
    assert result.returncode == 0
    assert "1 to remove, 5.6 kB: add --yes" in result.stdout
    assert dead.exists()
    result = dgunet("clean", "--yes")
    assert result.stdout.endswith("removed 1\n")
    assert not dead.exists()
    assert ours.exists()
    assert (home / ROWS).is_dir()
    assert (home / ".dgunet/refused/one").is_dir()
    assert "nothing to remove" in dgunet("clean").stdout


def test_unfinished_work_and_kept_journals_are_removed_on_request(home, dgunet):
    result = dgunet("clean", "--yes", "--unfinished", "--kept")
    assert result.stdout.endswith("removed 2\n")
    assert not (home / PLACE).exists()
    assert not (home / ".dgunet/refused/one").exists()
    assert (home / "build/evaluation/Set11-DGUNet/summary.json").exists()


def test_work_of_a_running_process_is_not_unfinished(home, dgunet):
    work = make(home / "build/prepared", ".Set11.work")
    with FileLock(home / "build/prepared/.Set11.lock"):
        assert ".Set11.work" not in dgunet("clean", "--unfinished").stdout
    assert ".Set11.work" in dgunet("clean", "--unfinished").stdout
    assert work.exists()


def test_work_of_a_running_evaluation_is_not_unfinished(home, dgunet):
    with alone(home / PLACE, home / "build/evaluation/Set11-DGUNet"):
        assert PLACE not in dgunet("clean", "--yes", "--unfinished").stdout
        assert (home / ROWS).is_dir()
    assert PLACE in dgunet("clean", "--unfinished").stdout


def test_downloads_of_a_running_fetch_are_not_unfinished(home, dgunet):
    downloads = home / "build/downloads"
    downloads.mkdir()
    for name in ("Set11.archive.partial", "BSD68.archive.partial"):
        (downloads / name).write_bytes(b"half")
    with FileLock(downloads / ".Set11.lock"):
        result = dgunet("clean", "--unfinished").stdout
    assert "BSD68.archive.partial" in result and "Set11.archive.partial" not in result


def test_another_folder_can_be_cleaned(home, dgunet, dead_name, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("root")
    dead = elsewhere / dead_name("gt", suffix=".png")
    dead.write_bytes(b"half")
    assert str(dead) in dgunet("clean", elsewhere).stdout
    assert "removed 1" in dgunet("clean", elsewhere, "--yes").stdout
    assert not dead.exists()
    result = dgunet("clean", elsewhere / "absent")
    assert result.returncode == 1
    assert "is not a folder" in result.stderr


def test_a_link_is_removed_without_its_target(home, dgunet, dead_name, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept")
    (kept / "mine").write_text("mine")
    link = home / "build" / dead_name("x")
    link.symlink_to(kept)
    assert "removed 1" in dgunet("clean", "--yes").stdout
    assert not link.is_symlink()
    assert (kept / "mine").exists()


def test_a_writer_removes_leftovers_of_dead_processes_in_its_folder(home, dead_name):
    dead = make(home / "build", dead_name("tables"))
    named = home / "build" / dead_name("table2", suffix=".csv")
    named.write_text("half")
    alive = make(home / "build", leftovers.partial_name("tables"))
    code = "import sys; from pathlib import Path; from dgunet.system import files\n"
    code += "with files.atomic_folder(Path(sys.argv[1])): pass"
    subprocess.run([sys.executable, "-c", code, str(home / "build" / "new")], check=True)
    assert not dead.exists()
    assert not named.exists()
    assert alive.exists()


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 120, "a" * 300, ".hidden", "x y\n"])
def test_a_partial_name_is_short_enough_and_recognised(tmp_path, name):
    made = leftovers.partial_name(name, suffix=".parquet")
    assert len(made.encode()) <= 255
    (tmp_path / made).touch()
    (found,) = leftovers.leftovers_in(tmp_path)
    assert found.path.name == made
    assert not found.dead


@pytest.mark.parametrize(
    "name", [".gitignore", ".dvc", ".Set11.lock", "x.partial", ".rows", ".a.partial"]
)
def test_files_with_other_names_are_not_leftovers(tmp_path, name):
    (tmp_path / name).touch()
    assert not list(leftovers.leftovers_in(tmp_path))
    assert not leftovers.remove_dead(tmp_path)


def test_a_leftover_of_another_machine_is_dead_after_a_time_limit(tmp_path, dead_name, monkeypatch):
    path = tmp_path / dead_name("x")
    path.touch()
    monkeypatch.setattr(leftovers, "_space", lambda: "00000000")
    (found,) = leftovers.leftovers_in(tmp_path)
    assert not found.dead
    monkeypatch.setattr(leftovers, "FOREIGN_SECONDS", -1.0)
    (found,) = leftovers.leftovers_in(tmp_path)
    assert found.dead
