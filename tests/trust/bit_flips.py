"""Flip single bits in the files of results, one at a time: each flip must be found.

    python tests/trust/bit_flips.py                          # 10,000 flips over build/
    python tests/trust/bit_flips.py FOLDER --flips 500 --seed 3

The results are copied first; those without a seal are sealed in the copy. The first flips hit each
file once, the others a file, a byte and a bit at random. A flip counts as found if `dgunet verify`
has a fault, and as refused if the function that the steps read such a result with raises its error.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))

from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.results import read_result
from dgunet.paper.written_tables import check_tables
from dgunet.steps.result_search import find_all_results
from dgunet.steps.verifying import Verifier
from dgunet.system.errors import DgunetError
from dgunet.system.seals import check_page, check_seal, sealed_page

BUILD = Path(__file__).parents[2] / "build"

READERS = {
    "store": PairStore.open,
    "evaluation": read_result,
    "tables": check_tables,
    "report": lambda path: check_page(path, again=""),
    "folder": lambda path: check_seal(path, again=""),
}
"""What the steps read a result of each kind with."""


@dataclass
class Outcome:
    """Numbers of flips by kind of file, and those that were not found or not refused."""

    flips: Counter = field(default_factory=Counter)
    found: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    files: dict = field(default_factory=dict)
    missed: list = field(default_factory=list)


def copy_results(source, target):
    """Copy the results in ``source`` and seal those that are not; gives them as they are found."""
    shutil.copytree(source, target)
    verifier = Verifier(seal=True)
    results = find_all_results([target]).results
    for each in results:
        if each.kind == "report" and not each.path.read_text().rstrip().endswith("-->"):
            each.path.write_text(sealed_page(each.path.read_text()))
        verdict = verifier.verify(each)
        if verdict.faults:
            raise SystemExit(f"{each.path}: {verdict.faults[0].what} Flips need intact results.")
    return results


def files_of(result):
    """The files of a result that are not empty."""
    paths = [result.path] if result.path.is_file() else sorted(result.path.rglob("*"))
    return [path for path in paths if path.is_file() and path.stat().st_size]


def flip_bits(results, count, seed, tell=lambda done: None):
    """Flip ``count`` bits in the files of ``results``, each file at least once if possible."""
    random, outcome = Random(seed), Outcome()
    places = [(result, path) for result in results for path in files_of(result)]
    for result, path in places:
        outcome.files.setdefault(kind_of(result, path), set()).add(path)
    evaluations = Verifier()
    for result in results:
        if result.kind == "evaluation":
            evaluations.verify(result)
    order = random.sample(places, len(places))
    for number in range(count):
        result, path = order[number] if number < len(order) else random.choice(places)
        whole = path.read_bytes()
        byte, bit = random.randrange(len(whole)), random.randrange(8)
        changed = bytearray(whole)
        changed[byte] ^= 1 << bit
        path.write_bytes(changed)
        try:
            _count(outcome, result, path, (byte, bit), evaluations)
        finally:
            path.write_bytes(whole)
        tell(number + 1)
    return outcome


def _count(outcome, result, path, place, evaluations):
    kind = kind_of(result, path)
    verifier = evaluations if result.kind == "tables" else Verifier()
    found, refused = bool(verifier.verify(result).faults), False
    try:
        READERS[result.kind](result.path)
    except DgunetError:
        refused = True
    outcome.flips[kind] += 1
    outcome.found[kind] += found
    outcome.refused[kind] += refused
    if not (found and refused):
        outcome.missed.append((path, *place))


def kind_of(result, path):
    """Name of the kind of a file, such as ``tables: .csv``."""
    named = path.name if path.suffix in ("", ".json") else path.suffix
    return f"{result.kind}: {named}"


def table(outcome):
    """One line for each kind of file, and their sum."""
    lines = [f"{'kind of file':28}{'files':>7}{'flips':>8}{'found':>8}{'refused':>9}{'missed':>8}"]
    counts = [
        (kind, len(outcome.files[kind]), n, outcome.found[kind], outcome.refused[kind])
        for kind, n in sorted(outcome.flips.items())
    ]
    counts.append(("all", *(sum(column) for column in list(zip(*counts, strict=True))[1:])))
    for kind, files, flips, found, refused in counts:
        missed = flips - min(found, refused)
        lines.append(f"{kind:28}{files:7}{flips:8}{found:8}{refused:9}{missed:8}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=BUILD)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = due = time.monotonic()

    def tell(done):
        nonlocal due
        if time.monotonic() > due + 30:
            due = time.monotonic()
            print(f"{done} of {given.flips} flips, {due - started:.0f} s", file=sys.stderr)

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["DGUNET_CACHE"] = f"{scratch}/cache"
        results = copy_results(given.folder, Path(scratch, "results"))
        outcome = flip_bits(results, given.flips, given.seed, tell)
    print(table(outcome))
    for path, byte, bit in outcome.missed[:20]:
        print(f"missed: {path}, byte {byte}, bit {bit}")
    print(f"{len(results)} results, seed {given.seed}, {time.monotonic() - started:.0f} s")
    sys.exit(bool(outcome.missed))


if __name__ == "__main__":
    main()
