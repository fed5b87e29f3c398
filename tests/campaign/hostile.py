"""Run the commands on hostile inputs: no hang, no traceback, no writes outside the project.

    python tests/campaign/hostile.py                  # 40 inputs per target
    python tests/campaign/hostile.py --inputs 10 summaries

Each input is a working project in which one file is replaced by a mutation of itself (changed, cut,
repeated or inserted bytes; other values, types and keys in JSON and text; names in lists and
archives that point out of their folder). A case passes if the command ends in time with status 0 or
1 (2 for a refused option), refuses with a one-line message, and no file outside its own folders was
created or changed.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import kills
from campaign_main import run_campaign
from hostile_inputs import mutate_json, mutate_lines, realblur
from killing_steps import run_killed

from tests.mutations import mutate_bytes

SECONDS = 60
"""Time limit of a command."""


@dataclass(frozen=True)
class Target:
    """Files to mutate, and the command that reads them.

    files: glob patterns below the project; one matching file is mutated at a time.
    writes: folders that the command may change.
    """

    name: str
    files: tuple
    mutate: object
    command: tuple
    writes: tuple = ()


WEIGHTS = "build/models/derain-DGUNet/network.safetensors"
TARGETS = (
    Target("settings", ("params.yaml",), mutate_lines, ("tables",), ("build/tables",)),
    Target(
        "images", ("data/sample/test/Rain100L/*/*",), mutate_bytes, ("data", "check", "Rain100L")
    ),
    Target(
        "preparation",
        ("data/sample/test/Rain100L/*/*",),
        mutate_bytes,
        ("data", "prepare", "Rain100L"),
        ("build/prepared",),
    ),
    Target(
        "manifests",
        ("build/prepared/Rain100L/manifest.json",),
        mutate_json,
        ("evaluate", "--sets", "Rain100L"),
        ("build/evaluation",),
    ),
    Target(
        "shards",
        ("build/prepared/Rain100L/*.arrow",),
        mutate_bytes,
        ("evaluate", "--sets", "Rain100L"),
        ("build/evaluation",),
    ),
    Target(
        "weights",
        (WEIGHTS,),
        mutate_bytes,
        ("evaluate", "--sets", "Rain100L"),
        ("build/evaluation",),
    ),
    Target(
        "summaries",
        (
            "build/evaluation/Rain100L-DGUNet/summary.json",
            "build/ablations/trained/stages-3/summary.json",
        ),
        mutate_json,
        ("tables",),
        ("build/tables",),
    ),
    Target(
        "rows",
        ("build/evaluation/Rain100L-DGUNet/per_image.parquet",),
        mutate_bytes,
        ("tables",),
        ("build/tables",),
    ),
    Target(
        "cells",
        ("build/tables/cells.parquet",),
        mutate_bytes,
        ("explain", "1", "DGUNet (sample, not comparable)", "Rain100L PSNR"),
    ),
    Target(
        "journals",
        (
            ".dgunet/journal/*/header.json",
            ".dgunet/journal/*/events.jsonl",
            ".dgunet/journal/*/cursor.json",
        ),
        mutate_lines,
        ("tracking", "status"),
        ("mlflow.db", "mlruns"),
    ),
    Target(
        "restored",
        ("in/*",),
        mutate_bytes,
        ("restore", "in", "--checkpoint", WEIGHTS, "--out", "restored"),
        ("restored",),
    ),
    Target(
        "scored",
        ("in/*",),
        mutate_bytes,
        ("score", "in", "data/sample/test/Rain100L/target", "--protocol", "rain-y"),
    ),
    Target(
        "archives",
        ("real.archive",),
        None,
        ("data", "import", "RealBlur-J", "real.archive", "--root", "new", "--part"),
        ("new",),
    ),
)


def make_base(top):
    """Create the project that every case starts from: each step has run, nothing is delivered."""
    before, _, _ = kills.make_project(top)
    base = before["sync"]
    inputs = sorted((base / "data/sample/test/Rain100L").iterdir())[0]
    shutil.copytree(inputs, base / "in")
    (base / "real.archive").touch()
    return base


def state(home, writes):
    """Return the digests of all files in and around the project that the command may not change."""
    free = {f"home/{each}" for each in (*writes, ".dgunet")} | {"log"}
    found = {}
    for here, folders, names in os.walk(home.parent):
        relative = Path(here).relative_to(home.parent)
        folders[:] = [name for name in folders if (relative / name).as_posix() not in free]
        for name in names:
            if (relative / name).as_posix() not in free and Path(here, name).is_file():
                digest = hashlib.sha256(Path(here, name).read_bytes()).digest()
                found[(relative / name).as_posix()] = digest
    return found


def case(target, base, top, rng):
    """Run one case; return its faults ("" if there are none) and the exit status.

    Without ``rng`` nothing is mutated, and the command must succeed.
    """
    home = top / "case" / "home"
    shutil.copytree(base, home, symlinks=True)
    if target.mutate is None:
        image_bytes = next(iter(sorted((home / "in").iterdir()))).read_bytes()
        (home / "real.archive").write_bytes(realblur(rng, image_bytes))
    elif rng:
        file = rng.choice([p for pattern in target.files for p in sorted(home.glob(pattern))])
        file.write_bytes(target.mutate(file.read_bytes(), rng))
    before, log = state(home, target.writes), top / "case" / "log"
    env = kills.QUIET | {"DGUNET_TRACKING": "off"}
    status, _ = run_killed(target.command, home, env=env, log=log, seconds=SECONDS)
    output = log.read_text(errors="replace")
    after = state(home, target.writes)
    faults = []
    if status not in ((0, 1, 2) if rng else (0,)):
        faults.append("hangs" if status == -signal.SIGALRM else f"exits with {status}")
    if "Traceback" in output or "bug of dgunet" in output:
        faults.append("traceback")
    if changed := {
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    }:
        faults.append(f"changed {sorted(changed)[:3]}")
    shutil.rmtree(top / "case")
    last = output.strip().splitlines()[-1:] or [""]
    return (f"{', '.join(faults)}: {last[0][:300]}" if faults else ""), status


def campaign(names, inputs, observe=print):
    """Run the campaign; return the number of inputs and the faults by target."""
    kills.import_once()
    count, found = 0, {}
    with tempfile.TemporaryDirectory(prefix="dgunet-hostile-") as folder:
        top = Path(folder)
        base = make_base(top)
        for target in TARGETS:
            if names and target.name not in names:
                continue
            began, statuses = time.monotonic(), Counter()
            if faults := case(target, base, top, None)[0]:
                raise SystemExit(f"{target.name}: the unchanged input is refused: {faults}")
            for number in range(inputs):
                rng = random.Random(f"{target.name} {number}")
                faults, status = case(target, base, top, rng)
                statuses[status] += 1
                if faults:
                    found.setdefault(target.name, []).append(f"input {number}: {faults}")
            count += inputs
            observe(
                f"{target.name:12} {inputs:4} inputs, statuses {dict(sorted(statuses.items()))},"
                f" {len(found.get(target.name, ())):3} faults, {time.monotonic() - began:5.0f} s"
            )
    return count, found


if __name__ == "__main__":
    run_campaign(
        campaign,
        description=__doc__.partition("\n")[0],
        names=[target.name for target in TARGETS],
        option="--inputs",
        default=40,
        option_help="inputs per target",
        unit="inputs",
    )
