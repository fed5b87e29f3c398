"""Gives the commands hostile inputs: nothing may hang, end in a traceback, or write outside.

    python tests/campaign/hostile.py                  # 40 inputs for each target
    python tests/campaign/hostile.py --inputs 10 summaries

Each input is a working project in which one file was replaced by a mutation of itself (changed,
cut, doubled, foreign bytes; other values, types and names in JSON and text; names that lead
elsewhere in lists and archives). A case passes when the command ends in time with status 0 or 1
(2 for a refused option), says a refusal in one line, and no file outside the project's own folders
was made or changed.
"""

import argparse
import hashlib
import io
import json
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
from killing_steps import run_killed

SECONDS = 60
"""A command that takes longer hangs."""

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


def mutate_bytes(content, chance):
    """``content`` with a few bytes changed, cut, doubled or made foreign."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        place = chance.randrange(len(content) + 1)
        way = chance.randrange(6)
        if way == 0 and place < len(content):
            content[place] = chance.randrange(256)
        elif way == 1:
            del content[place:]
        elif way == 2:
            del content[place : place + chance.randrange(1, 64)]
        elif way == 3:
            content[place:place] = chance.randbytes(chance.randrange(1, 64))
        elif way == 4:
            content[place:place] = content[: chance.randrange(200)]
        else:
            content[place:place] = chance.choice((b"\0" * 64, b"\xff\xfe", b"[" * 9000, b"\n\n"))
    return bytes(content)


def mutate_json(content, chance):
    """One value, key or type of a JSON text changed; sometimes its bytes instead."""
    if chance.random() < 0.3:
        return mutate_bytes(content, chance)
    try:
        value = json.loads(content)
    except ValueError:
        return mutate_bytes(content, chance)
    holder = [value]
    here, key = holder, 0
    while isinstance(here[key], dict | list) and here[key] and chance.random() < 0.85:
        here = here[key]
        key = chance.choice(list(here) if isinstance(here, dict) else range(len(here)))
    if isinstance(here, dict) and chance.random() < 0.3:
        here[chance.choice(NAMES)] = here.pop(key)
    else:
        here[key] = chance.choice(VALUES)
    text = json.dumps(holder[0])
    return text.encode(errors="surrogatepass")


def mutate_lines(content, chance):
    """One line of a log or a setting of a text changed, doubled, emptied or swapped."""
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


def realblur(chance, picture):
    """A RealBlur archive whose list or members have names that lead elsewhere; honest without."""
    prefix = chance.choice(("RealBlur", "a/b/c/RealBlur")) if chance else "RealBlur"
    image = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/{0}/{0}_1.png"
    files = {
        f"{prefix}/{image.format('gt')}": picture,
        f"{prefix}/{image.format('blur')}": picture,
        "x/y/gt.png": picture,
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
        files[name] = chance.choice((picture, b"P3\n1 1\n255\n0 0 0\n"))
    else:
        files[f"{prefix}/{image.format('gt')}"] = chance.choice(
            (b"#!/bin/sh\n", mutate_bytes(picture, chance))
        )
    content = "\n".join(lines).encode(errors="surrogateescape")
    return packed(files | {listing: mutate_some(content, chance)}, chance)


def mutate_some(content, chance):
    return mutate_bytes(content, chance) if chance.random() < 0.2 else content


def packed(files, chance):
    """``files`` as a zip or tar, whatever their names; sometimes with its bytes changed."""
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
    """What is mutated, and the command that reads it.

    files: patterns below the project; one file of them is mutated at a time.
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
        "pictures", ("data/sample/test/Rain100L/*/*",), mutate_bytes, ("data", "check", "Rain100L")
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
    """The project that every case starts from: each step ran, nothing was sent."""
    before, _, _ = kills.make_project(top)
    base = before["sync"]
    inputs = sorted((base / "data/sample/test/Rain100L").iterdir())[0]
    shutil.copytree(inputs, base / "in")
    (base / "real.archive").touch()
    return base


def state(home, writes):
    """Digest of every file in and around the project that the command has no right to change."""
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
    """Run one case; gives what is wrong ("" if nothing) and the exit status.

    Without ``chance`` the file stays as it is, and then the command has to succeed.
    """
    home = top / "case" / "home"
    shutil.copytree(base, home, symlinks=True)
    if target.mutate is None:
        picture = next(iter(sorted((home / "in").iterdir()))).read_bytes()
        (home / "real.archive").write_bytes(realblur(chance, picture))
    elif chance:
        file = chance.choice([p for pattern in target.files for p in sorted(home.glob(pattern))])
        file.write_bytes(target.mutate(file.read_bytes(), chance))
    before, log = state(home, target.writes), top / "case" / "log"
    env = kills.QUIET | {"DGUNET_TRACKING": "off"}
    status, _ = run_killed(target.command, home, env=env, log=log, seconds=SECONDS)
    said = log.read_text(errors="replace")
    after = state(home, target.writes)
    wrong = []
    if status not in ((0, 1, 2) if chance else (0,)):
        wrong.append("hangs" if status == -signal.SIGALRM else f"exits with {status}")
    if "Traceback" in said or "bug of dgunet" in said:
        wrong.append("traceback")
    if changed := {
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    }:
        wrong.append(f"changed {sorted(changed)[:3]}")
    shutil.rmtree(top / "case")
    last = said.strip().splitlines()[-1:] or [""]
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", help=", ".join(target.name for target in TARGETS))
    parser.add_argument("--inputs", type=int, default=40, help="for each target")
    asked = parser.parse_args()
    count, bad = campaign(set(asked.targets), asked.inputs)
    for name, found in bad.items():
        for fault in found:
            print(f"{name}: {fault}")
    total = sum(map(len, bad.values()))
    print(f"{count} inputs, {total} faults")
    sys.exit(bool(total))


if __name__ == "__main__":
    main()
