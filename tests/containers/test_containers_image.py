"""The image: its contents, its user, and its commands without a network."""

import hashlib
import json
import os
import re
import subprocess

import numpy as np
import pytest
from containers_engine import RESTRICTED
from PIL import Image

from dgunet import network

TINY = {"n_feat": 8, "scale": 4, "stages": 3}
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""The order of the sums, and with it some rounded pixels, depends on the number of threads."""


def test_labels_name_the_commit_and_the_lock(engine, project):
    labels = engine.facts["Config"]["Labels"]
    environment = dict(entry.split("=", 1) for entry in engine.facts["Config"]["Env"])
    head = subprocess.run(
        ["git", "-C", str(project), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert labels["org.opencontainers.image.revision"] == head
    assert environment["DGUNET_GIT_COMMIT"] == head
    assert labels["dgunet.dirty"] in ("true", "false")
    content = b"".join(path.read_bytes() for path in sorted(project.glob("requirements*.lock")))
    assert labels["dgunet.lock.sha256"] == hashlib.sha256(content).hexdigest()


def test_it_runs_as_an_unprivileged_user(engine):
    assert engine.facts["Config"]["User"] == "1000"
    assert engine.run("id", "-u").strip() == "1000"
    for folder in ("/opt/venv", "/etc", "/usr/local/bin"):
        assert engine.attempt("touch", f"{folder}/x").returncode, f"{folder} is writable"


def test_the_lock_is_installed_and_nothing_else(engine, project):
    lines = (project / "requirements.image.lock").read_text().splitlines()
    wanted = [line.split()[0] for line in lines if not line.startswith("#")]
    wanted += re.findall(r"^torch==.*", (project / "requirements.lock").read_text(), re.M)
    listed = json.loads(engine.run("python", "-m", "pip", "list", "--format", "json"))
    found = {_normal(entry["name"]): entry["version"].partition("+")[0] for entry in listed}
    assert found.pop("dgunet") and found.pop("pip")
    assert found == {_normal(name): pin for name, pin in (entry.split("==") for entry in wanted)}


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_has_no_compilers_caches_or_data(engine):
    for program in ("cc", "gcc", "c++", "clang", "as", "ld", "make"):
        assert engine.attempt("which", program).returncode, f"{program} exists"
    names = "-name .cache -o -name pip -o -name *.whl -o -name *.lock -o -name .git* -o -name .dvc*"
    kept = engine.run("find", "/root", "/home", "/tmp", "/work", *names.split(), user="0")
    assert kept == ""
    assert engine.run("ls", "-A", "/work").split() == ["params.yaml"]
    assert engine.run("ls", "-A", "/opt").split() == ["venv"]
    assert engine.attempt("ls", "/src").returncode, "the folder of the build exists"


def test_metrics_agree_in_a_restricted_container(engine):
    output = engine.run("dgunet", "selftest", "metrics", options=RESTRICTED)
    assert re.search(r"^all \d+ values agree$", output, re.MULTILINE)


def test_its_health_check_passes(engine):
    kind, *command = engine.facts["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert engine.run(*command).startswith("dgunet ")


@pytest.mark.parametrize("user", ["1000:1000", "4321:4321"])
def test_an_image_is_restored_as_on_the_host(engine, tmp_path, user):
    weights = tmp_path / "weights.safetensors"
    network.save_network(network.DGUNet(network.preset("derain", **TINY)), weights, {})
    pixels = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    verb = ["dgunet", "restore", "in.png", "--checkpoint", "weights.safetensors", "--out"]
    subprocess.run([*verb, "here"], cwd=tmp_path, env=os.environ | ONE_THREAD, check=True)

    _give(tmp_path, int(user.partition(":")[0]))
    there = ["--volume", f"{tmp_path}:/data", "--workdir", "/data", *RESTRICTED]
    there += ["--env", *(f"{name}={value}" for name, value in ONE_THREAD.items())]
    output = engine.run(*verb, "there", options=there, user=user)
    assert "52x40" in output
    made = tmp_path / "there" / "in.png"
    assert made.stat().st_uid == int(user.partition(":")[0])
    restored, expected = (np.asarray(Image.open(p)) for p in (made, tmp_path / "here" / "in.png"))
    assert (restored != pixels).any()
    np.testing.assert_array_equal(restored, expected)


def _give(folder, user):
    """Make ``user`` the owner of the folder and its files."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user)


def test_two_processes_train_together_without_a_network(engine):
    """As in a TrainJob's pod with two GPUs; here gloo on the CPU."""
    program = (
        "import os, torch, torch.distributed as d; d.init_process_group('gloo');"
        "x = torch.tensor([d.get_rank() + 1.0]); d.all_reduce(x);"
        "os.write(1, b'sum %g\\n' % x.item())"  # a single write, so lines do not interleave
    )
    launch = (
        "import subprocess, sys; from dgunet.kubeflow.steps.launch import torchrun;"
        "sys.exit(subprocess.call([*torchrun(2), 'python', '-c', sys.argv[1]]))"
    )
    output = engine.run("python", "-c", launch, program)
    assert output.count("sum 3\n") == 2, output


def test_the_executors_of_kubeflow_are_installed(engine):
    """Pipelines call python; the Trainer's SDK calls torchrun from a login shell."""
    assert engine.run("bash", "-lc", "which torchrun").strip() == "/opt/venv/bin/torchrun"
    output = engine.run("python", "-m", "kfp.dsl.executor_main", "--help")
    assert "--component_module_path" in output
