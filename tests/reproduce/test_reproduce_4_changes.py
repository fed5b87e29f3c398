"""A change reruns the stages that depend on it and no others. These tests change the clone."""

import re
import signal
import subprocess

import pytest
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.xdist_group("reproduce"),
]


TRAINED = "pipelines/trained/dvc.yaml"


def rerun(clone, *stages):
    return set(re.findall(r"Running stage '([^']+)'", clone.run("dvc", "repro", *stages)))


def would_rerun(clone, path, change):
    """The stages that `dvc repro` would run at first after a change, which is taken back."""
    before = path.read_text()
    path.write_text(change(before))
    found = set(re.findall(r"Running stage '([^']+)'", clone.run("dvc", "repro", "--dry")))
    path.write_text(before)
    return found


def test_a_setting_of_the_evaluation_trains_nothing(reproduced):
    params = reproduced.home / "params.yaml"
    found = would_rerun(reproduced, params, lambda t: t.replace("keep_images: 2", "keep_images: 1"))
    assert {f"{TRAINED}:evaluate-ablation@stages-9", "evaluate-cs@Set11-DGUNet"} < found
    assert not [name for name in found if "train-" in name or "prepare" in name]


def test_the_code_of_the_evaluation_trains_nothing(reproduced):
    module = reproduced.home / "dgunet/evaluation/ssim.py"
    before = module.read_text()
    module.write_text(f"{before}\nNEW = 1\n")
    assert rerun(reproduced, "code") == {"code"}
    found = set(re.findall(r"Running stage '([^']+)'", reproduced.run("dvc", "repro", "--dry")))
    module.write_text(before)
    assert rerun(reproduced, "code") == set(), "DVC has run it on the same code before"
    assert {f"{TRAINED}:evaluate-ablation@stages-9", "evaluate-cs@Set11-DGUNet"} < found
    assert not [name for name in found if "train-" in name or "prepare" in name]


def test_a_changed_image_reruns_only_its_test_set(reproduced):
    path = reproduced.home / "data/sample/test/Rain100L/input/1.png"
    with Image.open(path) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    assert rerun(reproduced) == {
        "prepare@Rain100L",
        "evaluate-derain@Rain100L-DGUNet",
        "tables",
    }


def test_a_changed_setting_reruns_only_its_task(reproduced):
    path = reproduced.home / "params.yaml"
    path.write_text(re.sub(r"(denoise:\n +iterations: )\d+", r"\g<1>6", path.read_text(), count=1))
    assert rerun(reproduced) == {
        f"{TRAINED}:train-denoise@DGUNet",
        "evaluate-denoise@SIDD-DGUNet",
        "evaluate-denoise@DND-DGUNet",
        "tables",
    }


def test_a_setting_of_the_inactive_profile_reruns_nothing(reproduced):
    path = reproduced.home / "params.yaml"
    path.write_text(path.read_text().replace("iterations: 400000", "iterations: 400001"))
    assert rerun(reproduced) == set()


def test_a_changed_module_reruns_only_its_stage(reproduced):
    path = reproduced.home / "dgunet/paper/table_building.py"
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    assert rerun(reproduced) == {"code", "tables"}


def test_a_changed_comment_reruns_no_stage_that_makes_results(reproduced):
    path = reproduced.home / "dgunet/system/files.py"
    path.write_text(path.read_text() + "\n# changed\n")
    assert rerun(reproduced) == {"code"}


def test_a_dvc_experiment_runs_with_a_changed_setting(reproduced):
    env = {
        f"GIT_{who}_{what}": f"someone{at}"
        for who in ("AUTHOR", "COMMITTER")
        for what, at in (("NAME", ""), ("EMAIL", "@example.org"))
    }
    stage = f"{TRAINED}:train-denoise@DGUNet"
    before = reproduced.read("params.yaml").splitlines()
    output = reproduced.run(
        *("dvc", "exp", "run", "-S", "sample.train.denoise.iterations=7", stage),
        **env,
    )
    assert "Ran experiment" in output
    assert "7" in reproduced.run("dvc", "params", "diff")
    after = reproduced.read("params.yaml").splitlines()
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert changed == [("      iterations: 6", "      iterations: 7")]


def test_ctrl_c_leaves_no_outputs_and_a_killed_run(reproduced, tmp_path):
    out = tmp_path / "model"
    params = reproduced.home / "long.yaml"
    params.write_text(
        re.sub(r"(derain:\n +iterations: )\d+", r"\g<1>100000", reproduced.read("params.yaml"))
    )
    command = ["dgunet", "train", "derain", "--params", str(params), "--out", str(out)]
    process = subprocess.Popen(
        command, cwd=reproduced.home, env=reproduced.env, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if "step" in line:
            process.send_signal(signal.SIGINT)
            break
    output = process.stderr.read()
    assert process.wait() == 130
    assert "interrupted" in output
    assert not out.exists() or not list(out.iterdir())
    assert re.search(r"train derain-DGUNet +KILLED", reproduced.run("dgunet", "runs"))


def test_a_corrupt_object_of_the_remote_is_refused(clone, tmp_path):
    home = tmp_path / "spoilt"
    clone.run("git", "clone", "--quiet", str(clone.home), str(home))
    victim = max(
        (path for path in (home / "dvcstore").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    output = clone.refused("dvc", "--cd", str(home), "pull", "data")
    assert "data" in output
    assert not (home / "data").exists()
