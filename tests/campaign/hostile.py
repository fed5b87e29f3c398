"""Runs the commands on hostile inputs: no hang, no traceback, no writes outside the project.

    python tests/campaign/hostile.py                  # 40 inputs per target
    python tests/campaign/hostile.py --inputs 10 summaries

Each input is a working project in which one file is replaced by a mutation of itself (changed, cut,
repeated or inserted bytes; other values, types and keys in JSON and text; names in lists and
archives that lead out of their folder). A case passes if the command ends in time with status 0 or
1 (2 for a refused option), refuses with a one-line message, and no file outside its own folders was
created or changed.
"""

import hashlib
import io
import os
import random
import re
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import kills
from campaign_main import run_campaign
from killing_steps import run_killed

from tests import mutations
from tests.mutations import mutate_bytes

SECONDS = 60
"""Time limit of a command."""

VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        99,
        1e308,
        10**9,
        10**400,
        "",
        "x" * 5000,
        "../../x",
        "/etc/passwd",
    ),
    *([], {}, [[]], {"a": {"b": []}}, "\\input{x}", "\0", "NaN", float("nan"), float("inf"), "ü\n"),
)
NAMES = (
    *("../../../../params.yaml", "/etc/x", "a/../../../../x", "C:\\x.png", "x" * 300, "..", "\x01"),
    *("../../../../../.git/hooks/pre-commit", "a\\..\\..\\x.png", "", "./././x", "²5.png", "a\0b"),
)


def mutate_json(content, chance):
    """Mutate a value or a key of a JSON text; sometimes its bytes instead."""
    if chance.random() < 0.3:
        return mutate_bytes(content, chance)
    return mutations.mutate_json(content, chance, values=VALUES, keys=NAMES)


def mutate_lines(content, chance):
    """Change, repeat or empty a line of a log, or a setting of a text."""
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    way = chance.randrange(6)
    if way == 0:
        lines[place] = mutate_json(lines[place], chance)
    elif way == 1:
        lines[place] = b""
    elif way == 2:
        lines.insert(place, lines[chance.randrange(len(lines))])
    elif way == 3:
        value = repr(chance.choice(VALUES)).encode(errors="replace")
        lines[place] = re.sub(rb":.*", lambda _: b": " + value, lines[place], count=1)
    elif way == 4:
        lines[place] = re.sub(rb"\d+", str(10 ** chance.randrange(20)).encode(), lines[place])
    else:
        lines[place] = mutate_bytes(lines[place], chance)
    return b"\n".join(lines)


def realblur(chance, image_bytes):
    """Create a RealBlur archive with names that lead elsewhere; a valid one without ``chance``."""
    prefix = chance.choice(("RealBlur", "a/b/c/RealBlur")) if chance else "RealBlur"
    image = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/{0}/{0}_1.png"
    files = {
        f"{prefix}/{image.format('gt')}": image_bytes,
        f"{prefix}/{image.format('blur')}": image_bytes,
        "x/y/gt.png": image_bytes,
        "x/y/hook.png": b"P3\n1 1\n255\n0 0 0\n",
    }
    lines = [f"{image.format('gt')} {image.format('blur')}"]
    listing = f"{prefix}/RealBlur_J_test_list.txt"
    if chance is None:
        return packed(files | {listing: lines[0].encode()}, chance)
    up = "../" * (prefix.count("/") + 1)
    name = chance.choice((*NAMES, f"{up}x/y/gt.png", f"{up}x/y/hook.png"))
    way = chance.randrange(4)
    if way == 0:
        lines.insert(chance.randrange(2), f"{name} {name}")
    elif way == 1:
        lines[0] = chance.choice(
            (f"{lines[0]} x", "a" * 5000, f"{image.format('gt')} {name}", name)
        )
    elif way == 2:
        files[name] = chance.choice((image_bytes, b"P3\n1 1\n255\n0 0 0\n"))
    else:
        files[f"{prefix}/{image.format('gt')}"] = chance.choice(
            (b"#!/bin/sh\n", mutate_bytes(image_bytes, chance))
        )
    content = "\n".join(lines).encode(errors="surrogateescape")
    return packed(files | {listing: mutate_some(content, chance)}, chance)


def mutate_some(content, chance):
    return mutate_bytes(content, chance) if chance.random() < 0.2 else content


def packed(files, chance):
    """Pack ``files`` as zip or tar with any names; sometimes mutate its bytes."""
    buffer = io.BytesIO()
    if chance is None:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return buffer.getvalue()
    if chance.random() < 0.5:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo("x")
                info.filename = name or "x"
                info.external_attr = chance.choice((0o644, 0o755, 0o120777)) << 16
                archive.writestr(info, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name or "x")
                info.size, info.mode = len(content), chance.choice((0o644, 0o777))
                if chance.random() < 0.1:
                    info.type = chance.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE))
                    info.linkname, info.size, content = "../../../params.yaml", 0, b""
                archive.addfile(info, io.BytesIO(content))
    return mutate_some(buffer.getvalue(), chance)


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
        ("build/evaluation/Rain100L-DGUNet/summary.json", "build/ablations/stages-3/summary.json"),
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
        place = Path(here).relative_to(home.parent)
        folders[:] = [name for name in folders if (place / name).as_posix() not in free]
        for name in names:
            if (place / name).as_posix() not in free and Path(here, name).is_file():
                digest = hashlib.sha256(Path(here, name).read_bytes()).digest()
                found[(place / name).as_posix()] = digest
    return found


def case(target, base, top, chance):
    """Run one case; return its faults ("" if there are none) and the exit status.

    Without ``chance`` nothing is mutated, and the command must succeed.
    """
    home = top / "case" / "home"
    shutil.copytree(base, home, symlinks=True)
    if target.mutate is None:
        image_bytes = next(iter(sorted((home / "in").iterdir()))).read_bytes()
        (home / "real.archive").write_bytes(realblur(chance, image_bytes))
    elif chance:
        file = chance.choice([p for pattern in target.files for p in sorted(home.glob(pattern))])
        file.write_bytes(target.mutate(file.read_bytes(), chance))
    before, log = state(home, target.writes), top / "case" / "log"
    env = kills.QUIET | {"DGUNET_TRACKING": "off"}
    status, _ = run_killed(target.command, home, env=env, log=log, seconds=SECONDS)
    output = log.read_text(errors="replace")
    after = state(home, target.writes)
    wrong = []
    if status not in ((0, 1, 2) if chance else (0,)):
        wrong.append("hangs" if status == -signal.SIGALRM else f"exits with {status}")
    if "Traceback" in output or "bug of dgunet" in output:
        wrong.append("traceback")
    if changed := {
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    }:
        wrong.append(f"changed {sorted(changed)[:3]}")
    shutil.rmtree(top / "case")
    last = output.strip().splitlines()[-1:] or [""]
    return (f"{', '.join(wrong)}: {last[0][:300]}" if wrong else ""), status


def campaign(names, inputs, observe=print):
    """Run it; returns the number of inputs and the faults by target."""
    kills.import_once()
    count, bad = 0, {}
    with tempfile.TemporaryDirectory(prefix="dgunet-hostile-") as folder:
        top = Path(folder)
        base = make_base(top)
        for target in TARGETS:
            if names and target.name not in names:
                continue
            began, statuses = time.monotonic(), Counter()
            if wrong := case(target, base, top, None)[0]:
                raise SystemExit(f"{target.name}: as it is, the input is refused: {wrong}")
            for number in range(inputs):
                chance = random.Random(f"{target.name} {number}")
                wrong, status = case(target, base, top, chance)
                statuses[status] += 1
                if wrong:
                    bad.setdefault(target.name, []).append(f"input {number}: {wrong}")
            count += inputs
            observe(
                f"{target.name:12} {inputs:4} inputs, statuses {dict(sorted(statuses.items()))},"
                f" {len(bad.get(target.name, ())):3} faults, {time.monotonic() - began:5.0f} s"
            )
    return count, bad


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
