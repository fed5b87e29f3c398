"""Kill every step at its file operations, repeat it, and compare with an uninterrupted run.

    python tests/campaign/kills.py                   # all operations of all steps: hours
    python tests/campaign/kills.py --most 60         # at most 60 kills per step, spread evenly
    python tests/campaign/kills.py sync --most 0     # all operations of one step

A kill passes if the same command, repeated, succeeds, its results have the bytes of an
uninterrupted run, no partial files of the dead process are left, and MLflow has every run and every
model exactly once.
"""

import importlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from campaign_main import run_campaign
from killing_steps import contents, run_killed

ROOT = Path(__file__).parents[2]
QUIET = {
    "OMP_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "DGUNET_TRACKING": "later",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


@dataclass(frozen=True)
class Step:
    """A command, and the folders of its results, relative to the project."""

    name: str
    command: tuple
    results: tuple


STEPS = (
    Step(
        "import",
        ("data", "import", "Rain100L", "rain.zip", "--root", "new", "--part"),
        ("new/test",),
    ),
    Step("prepare", ("data", "prepare", "Rain100L"), ("build/prepared/Rain100L",)),
    Step("prepare-train", ("data", "prepare", "Rain13K"), ("build/prepared/Rain13K",)),
    Step("prepare-more", ("data", "prepare", "Rain100H"), ("build/prepared/Rain100H",)),
    Step("train", ("train", "derain"), ("build/models/trained/derain-DGUNet",)),
    Step("evaluate", ("evaluate", "--sets", "Rain100L"), ("build/evaluation/Rain100L-DGUNet",)),
    Step(
        "train-ablation",
        ("train", "derain", "--ablation", "stages-3"),
        ("build/models/trained/ablation-stages-3",),
    ),
    Step(
        "evaluate-ablation",
        ("evaluate", "--ablation", "stages-3"),
        ("build/ablations/trained/stages-3",),
    ),
    Step("tables", ("tables",), ("build/tables",)),
    Step("report", ("report",), ("build/report.html",)),
    Step("sync", ("tracking", "sync"), ()),
)


def small_params():
    """Return params.yaml with even shorter trainings and a checkpoint at every iteration."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    head, paper = text.split("\npaper:\n")
    head = head.replace("threads: 1 ", "threads: 1\n    checkpoint_seconds: 0 ")
    for old, new in (
        ("iterations: 60\n", "iterations: 3\n"),
        ("interval: 30,", "interval: 2,"),
        ("iterations: 12\n", "iterations: 2\n"),
        ("warmup: 5", "warmup: 1"),
    ):
        assert old in head, old
        head = head.replace(old, new)
    return f"{head}\npaper:\n{paper}"


def make_project(top, last="sync"):
    """Create a project in which every step up to ``last`` has run once.

    Returns:
        A copy of the project before each step, the project, and the number of each step's
        operations.
    """
    home = top / "home"
    home.mkdir()
    (home / "params.yaml").write_text(small_params(), encoding="utf-8")
    (home / "records").mkdir()
    for folder in ("train/Rain13K", "test/Rain100L", "test/Rain100H"):
        shutil.copytree(ROOT / "data/sample" / folder, home / "data/sample" / folder)
    shutil.make_archive(str(home / "rain"), "zip", ROOT / "data/sample/test", "Rain100L")
    assert run_killed(("tracking", "init"), home, env=QUIET)[0] == 0
    before, counts = {}, {}
    for step in STEPS:
        if step.name == "sync":
            _keep_two(home / ".dgunet" / "journal")
        before[step.name] = top / f"before-{step.name}"
        shutil.copytree(home, before[step.name], symlinks=True)
        log = top / f"{step.name}.log"
        status, counts[step.name] = run_killed(step.command, home, env=QUIET, log=log)
        if status:
            raise SystemExit(f"{step.name} fails without a kill ({status}):\n{log.read_text()}")
        if step.name == last:
            break
    return before, home, counts


def _keep_two(journals):
    """Keep the journals of trainings, which have models, and of evaluations."""
    for journal in journals.iterdir():
        if json.loads((journal / "header.json").read_text())["name"].split()[0] not in (
            "train",
            "evaluate",
        ):
            shutil.rmtree(journal)


def in_mlflow(home):
    """Count the runs of each journal, the models of each checkpoint, and the model versions."""
    with sqlite3.connect(home / "mlflow.db") as database:
        runs = database.execute("select value from tags where key = 'dgunet.journal'").fetchall()
        models = database.execute(
            "select tag_value from logged_model_tags where tag_key = 'checkpoint.sha256'"
        ).fetchall()
        versions = database.execute("select name, version from model_versions").fetchall()
    return Counter(runs), Counter(models), len(versions)


def faults(step, home, wanted, log):
    """Return the faults after a step was killed and repeated."""
    from dgunet.tools.cleaning import find_removable

    status, _ = run_killed(step.command, home, env=QUIET, log=log)
    if status and "already exists" not in log.read_text():  # it was complete before the kill
        return [f"run again, it exits with {status}: {log.read_text()[-600:]}"]
    found = []
    for folder in step.results:
        ours, theirs = home / folder, wanted / folder
        same = contents(ours) == contents(theirs) if theirs.is_dir() else _page(ours, theirs)
        if not same:
            found.append(f"{folder} differs from that of an uninterrupted run")
    found += [f"left behind: {one.path}" for one in find_removable(home) if one.kind == "dead"]
    if step.name == "sync":
        runs, models, versions = in_mlflow(home)
        expected = in_mlflow(wanted)
        if max(runs.values()) > 1:
            found.append("MLflow has a run twice")
        if (set(runs), models, versions) != (set(expected[0]), *expected[1:]):
            found.append(f"MLflow has {len(runs)} runs, {models}, {versions} model versions")
        if (home / ".dgunet/journal").is_dir() and list((home / ".dgunet/journal").iterdir()):
            found.append("a journal is left")
    return found


def _page(ours, theirs):
    """Return whether a report is complete; its run IDs differ, so bytes are not compared."""
    return ours.is_file() and ours.read_text().rstrip().endswith("</html>") and theirs.is_file()


def chosen(count, most):
    """Return the operations to kill at: all, or ``most`` of them spread evenly."""
    if not most or count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(i * (count - 1) / (most - 1)) for i in range(most)})


def import_once():
    """Import the modules that all forks need."""
    import torch

    from dgunet.cli import command

    command()  # the modules of all commands
    for name in ("evaluate", "tracked_training", "tables"):
        importlib.import_module(f"dgunet.steps.{name}")
    importlib.import_module("mlflow")
    torch.set_num_threads(1)


def campaign(names, most, observe=print):
    """Run the campaign; return the number of kills and the faults by step."""
    import_once()
    kills, found = 0, {}
    with tempfile.TemporaryDirectory(prefix="dgunet-kills-") as folder:
        top = Path(folder)
        last = [step.name for step in STEPS if not names or step.name in names][-1]
        before, wanted, counts = make_project(top, last)
        for step in STEPS:
            if names and step.name not in names:
                continue
            began, killed = time.monotonic(), 0
            for at in chosen(counts[step.name], most):
                home = top / "killed"
                shutil.copytree(before[step.name], home, symlinks=True)
                log = top / "killed.log"
                log.unlink(missing_ok=True)
                status, _ = run_killed(step.command, home, at=at, env=QUIET, log=log)
                killed += status == -9
                for fault in faults(step, home, wanted, log):
                    found.setdefault(step.name, []).append(f"killed before operation {at}: {fault}")
                shutil.rmtree(home)
            kills += killed
            observe(
                f"{step.name:14} {counts[step.name]:5} operations, {killed:4} kills,"
                f" {len(found.get(step.name, ())):3} faults, {time.monotonic() - began:6.0f} s"
            )
    return kills, found


if __name__ == "__main__":
    run_campaign(
        campaign,
        description=__doc__.partition("\n")[0],
        names=[step.name for step in STEPS],
        option="--most",
        default=0,
        option_help="kills per step; 0 for all operations",
        unit="kills",
    )
