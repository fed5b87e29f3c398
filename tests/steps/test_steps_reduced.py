"""The reduced run: its steps, what is repeated, how it stops, and one network for real."""

import json
import subprocess
import sys
import time
from contextlib import suppress

import cv2
import numpy as np
import psutil
import pytest
import yaml

from dgunet.paper.claims.claim_list import Paired, Trend, claims
from dgunet.project import ProjectFolders
from dgunet.system.errors import DataError, DgunetError
from dgunet.terms import ABLATIONS
from dgunet.tools.reduced_run import KEPT_MEMORY, PAIRS, RATIOS, SETS, ReducedRun, run_steps

STAND_IN = """
import json, pathlib, sys, time
arguments = sys.argv[1:]
out = pathlib.Path(arguments[arguments.index("--out") + 1])
out.mkdir(parents=True, exist_ok=True)
name = {"data": "manifest.json", "train": "network.safetensors"}.get(arguments[0], "summary.json")
with open(pathlib.Path(arguments[-1]).parent / "calls.txt", "a") as calls:
    print(json.dumps(arguments), file=calls)
(out / name).write_text(out.name)
"""
"""Writes the file that the command of a step would write."""

COMMAND = (sys.executable, "-c", STAND_IN)


def images(folder, count, size, suffix="png", channels=3):
    folder.mkdir(parents=True)
    noise = np.random.default_rng(len(folder.name))
    for number in range(1, count + 1):
        image = noise.integers(0, 256, (size, size, channels), np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.{suffix}"), image)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Small images in the trees of the datasets that the run reads."""
    root = tmp_path_factory.mktemp("datasets")
    for name in ("test/Rain100L", "test/Rain100H", "train/Rain13K"):
        rain13k = name == "train/Rain13K"
        for side in ("input", "target"):
            count = PAIRS + 2 if rain13k else 1
            images(root / name / side, count, 48, "jpg" if rain13k else "png")
    images(root / "train/BSD400", 4, 40, channels=1)
    for name in ("Set11", "BSD68"):
        images(root / "test" / name, 2, 48, channels=1)
    return root


@pytest.fixture
def here(tmp_path, project):
    (tmp_path / "params.yaml").write_text((project / "params.yaml").read_text())
    return ProjectFolders(tmp_path)


@pytest.fixture
def wanted(here, datasets):
    wanted = ReducedRun(here, (1, 2))
    wanted.write_inputs(datasets)
    return wanted


def calls(wanted):
    return [
        json.loads(line)
        for path in sorted(wanted.folder.rglob("calls.txt"))
        for line in path.read_text().splitlines()
    ]


def test_every_seed_trains_and_evaluates_every_network(wanted):
    names = [step.name for step in wanted.networks(2)]
    networks = ["derain-DGUNet", "derain-DGUNet+", *(f"ablation-{name}" for name in ABLATIONS)]
    networks += [f"cs-r{ratio}-{variant}" for ratio in (4, 10) for variant in ("DGUNet", "DGUNet+")]
    assert len(networks) == 15
    assert names == [
        f"seed 2: {verb} {network}" for network in networks for verb in ("train", "evaluate")
    ]


def test_the_run_has_every_network_that_claims_on_its_test_sets_compare(wanted):
    made = {name.split(" ")[-1] for name in (step.name for step in wanted.networks(1))}
    sets = {name for names in SETS.values() for name in names}
    compared = [
        claim
        for claim in claims()
        if isinstance(claim, Paired | Trend)
        if all(t.dataset in sets and t.ratio in {None, *RATIOS} for t in claim.terms)
    ]
    assert len(compared) >= 12
    for claim in compared:
        for term in claim.terms:
            ablation = f"ablation-{term.row}"
            cs = f"cs-r{term.ratio}-{term.row}"
            assert {ablation, cs, f"derain-{term.row}"} & made, claim.id


def test_seeds_differ_in_the_seed_only(wanted, here):
    first, second = (
        yaml.safe_load((wanted.place(seed).build / "params.yaml").read_text()) for seed in (1, 2)
    )
    assert (first.pop("seed"), second.pop("seed")) == (1, 2) and first == second
    assert first["profile"] == "reduced"
    assert first["reduced"] == yaml.safe_load(here.params.read_text())["reduced"]


def test_the_first_pairs_of_rain13k_are_copied(wanted):
    copied = wanted.folder / "data/train/Rain13K/target"
    assert {path.stem for path in copied.iterdir()} == {str(n) for n in range(1, PAIRS + 1)}


def test_a_missing_dataset_is_named(here, tmp_path):
    with pytest.raises(DataError, match=r"train/Rain13K does not exist.*dgunet data fetch Rain13K"):
        ReducedRun(here, (1,)).write_inputs(tmp_path / "nothing")


def test_finished_steps_are_not_repeated_but_those_with_other_inputs_are(wanted):
    steps, said = wanted.steps(), []
    assert run_steps(steps, processes=8, command=COMMAND, report=said.append)
    assert len(said) == len(calls(wanted)) == 66 and said[-1].startswith("[66/66] seed 2: ")
    assert run_steps(steps, command=COMMAND, report=said.append)
    assert len(said) == 66, "a finished step ran again"
    weights = wanted.place(2).model("cs-r4-DGUNet") / "network.safetensors"
    weights.write_text("other weights")
    assert run_steps(steps, command=COMMAND, report=said.append)
    assert said[66:] == ["[66/66] seed 2: evaluate cs-r4-DGUNet"]
    params = wanted.place(1).build / "params.yaml"
    params.write_text(params.read_text().replace("iterations: 600", "iterations: 601"))
    assert run_steps(steps, processes=8, command=COMMAND, report=said.append)
    assert len(said) == 67 + 30 and all("seed 1: " in line for line in said[67:])


@pytest.mark.parametrize("chosen", [None, "glibc.malloc.check=0"])
def test_steps_keep_freed_memory_unless_the_user_chose_other_settings(wanted, monkeypatch, chosen):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if chosen:
        monkeypatch.setenv("GLIBC_TUNABLES", chosen)
    noting = STAND_IN + "import os; (out / name).write_text(os.environ['GLIBC_TUNABLES'])"
    steps = wanted.preparations()[:1]
    assert run_steps(steps, command=(sys.executable, "-c", noting), report=[].append)
    (manifest,) = wanted.folder.rglob("manifest.json")
    assert manifest.read_text() == (chosen or KEPT_MEMORY["GLIBC_TUNABLES"])


def test_a_step_begins_when_its_inputs_exist(wanted):
    """A training before its store, or an evaluation before its network, would fail."""
    (step,) = (s for s in wanted.steps() if s.name == "seed 1: evaluate cs-r4-DGUNet")
    with pytest.raises(DataError, match="seed 1: evaluate cs-r4-DGUNet has no inputs"):
        run_steps([step], command=COMMAND, report=[].append)


def test_a_failed_step_is_named_with_its_last_line_and_the_others_are_stopped(wanted):
    failing = "import sys, time\nif 'BSD400' in sys.argv: sys.exit('no space left\\n')\n"
    failing += "time.sleep(60)"
    said = []
    with pytest.raises(DgunetError, match="prepare BSD400 failed: no space left") as error:
        run_steps(
            wanted.preparations(),
            processes=6,
            command=(sys.executable, "-c", failing),
            report=said.append,
        )
    assert "prepare-BSD400.log" in error.value.hint
    assert sum(line.startswith("stopped: ") for line in said) == 5


def test_after_its_time_the_running_steps_are_stopped(wanted):
    said, sleeping = [], (sys.executable, "-c", "import time; time.sleep(60)")
    assert not run_steps(wanted.steps(), seconds=0, command=sleeping, report=said.append)
    assert said == ["[1/66] prepare Rain13K", "stopped: prepare Rain13K"]


def test_sigterm_stops_the_steps_too(tmp_path):
    """A script that runs in the background gets no Ctrl-C."""
    code = (
        "import pathlib, sys\n"
        "from dgunet.tools.reduced_run import Step, run_steps\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "step = Step('sleep', (str(folder / 'pid'),), (), folder / 'step.json')\n"
        "child = 'import os, sys, time; open(sys.argv[1], \"w\").write(str(os.getpid()));'\n"
        "run_steps([step], command=(sys.executable, '-c', child + 'time.sleep(60)'))\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    while not (number := (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        time.sleep(0.05)
    runner.terminate()
    assert runner.wait(60) == 143
    assert not psutil.pid_exists(int(number))


def test_one_network_for_real(here, datasets, monkeypatch):
    content = yaml.safe_load(here.params.read_text())
    content["reduced"]["train"]["cs"] |= {"iterations": 2, "batch": 1, "warmup": 1}
    here.params.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("DGUNET_HOME", str(here.home))
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    wanted = ReducedRun(here, (7,))
    wanted.write_inputs(datasets)
    names = {"prepare BSD400", "prepare Set11", "prepare BSD68"}
    names |= {"seed 7: train cs-r10-DGUNet", "seed 7: evaluate cs-r10-DGUNet"}
    assert run_steps([s for s in wanted.steps() if s.name in names], processes=2, report=print)
    place = wanted.place(7)
    for name in ("Set11", "BSD68"):
        path = place.evaluation(name, "DGUNet") / "r10/summary.json"
        summary = json.loads(path.read_text())
        assert (summary["profile"], summary["images"], summary["complete"]) == ("reduced", 2, False)


A_RUN = """
import sys
from pathlib import Path
from dgunet.tools.reduced_run import Step, run_steps
folder, step = Path(sys.argv[1]), sys.argv[2]
run_steps(
    [Step("waits", (str(folder),), (), folder / "done.json")], command=(sys.executable, "-c", step)
)
"""
A_STEP = """
import os, pathlib, sys, time
from dgunet import cli
sign = pathlib.Path(sys.argv[1], "pid")
cli.run_here = lambda: (sign.write_text(str(os.getpid())), time.sleep(120))
cli.main()
"""


def test_the_steps_of_a_killed_run_end(tmp_path):
    """SIGKILL gives the run no time to stop them; they would write beside the next run."""
    run = subprocess.Popen([sys.executable, "-c", A_RUN, tmp_path, A_STEP])
    sign, limit = tmp_path / "pid", time.monotonic() + 60
    while not sign.is_file() or not sign.read_text():
        assert run.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    step = psutil.Process(int(sign.read_text()))
    assert step.ppid() == run.pid
    run.kill()
    run.wait()
    try:
        step.wait(timeout=20)
    finally:
        with suppress(psutil.NoSuchProcess):
            step.kill()
