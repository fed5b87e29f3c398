"""A second clone that shares DVC's cache takes every result from it and executes nothing."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("reproduce"),
]

LOCKS = ("dvc.lock", "pipelines/trained/dvc.lock")


@pytest.fixture(scope="module")
def second(reproduced, tmp_path_factory):
    """A clone that shares the cache of the reproduced one; both tests restore its tree."""
    home = tmp_path_factory.mktemp("second") / "second clone"
    subprocess.run(["git", "clone", "--quiet", str(reproduced.home), str(home)], check=True)
    clone = replace(reproduced, home=home, env=reproduced.env | {"PYTHONPATH": str(home)})
    clone.run("dvc", "cache", "dir", "--local", str(reproduced.home / ".dvc" / "cache"))
    clone.run("dvc", "checkout", "--quiet", "data.dvc")
    return clone


def files(home, top):
    """The outputs of the stages in a folder; validation.csv is none, since not all have it."""
    return {
        path.relative_to(home): path.read_bytes()
        for path in (home / top).rglob("*")
        if path.is_file() and path.name != "validation.csv"
    }


def restored(clone):
    """The stages that `dvc repro` restores; it must execute none."""
    output = clone.run("dvc", "repro", DGUNET_TRACKING="off")
    assert re.findall(r"Running stage '([^']+)'", output) == []
    return set(re.findall(r"Stage '([^']+)' is cached", output))


def test_without_lock_files_every_stage_comes_from_the_run_cache(reproduced, second):
    """The way out if the committed lock files name outputs that this machine cannot make."""
    for name in LOCKS:
        (second.home / name).unlink()
    found = restored(second)
    assert {"tables", "evaluate-derain@Rain100L-DGUNet", "evaluate-cs@BSD68-DGUNet"} <= found
    for kind in ("train-derain@DGUNet", "train-ablation@stages-9", "evaluate-ablation@stages-9"):
        assert f"pipelines/trained/dvc.yaml:{kind}" in found
    for top in ("build/models", "build/evaluation", "build/ablations", "build/tables", "results"):
        assert files(second.home, top) == files(reproduced.home, top), top


def test_the_lock_files_of_this_machine_restore_a_removed_tree(reproduced, second):
    for name in LOCKS:
        shutil.copy(reproduced.home / name, second.home / name)
    restored(second)
    shutil.rmtree(second.home / "build")
    assert restored(second)
    assert files(second.home, "build/tables") == files(reproduced.home, "build/tables")
