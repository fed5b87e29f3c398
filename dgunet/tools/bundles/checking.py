"""Verification of a bundle with the library: all that ``verify.py`` checks, and more.

More: Parquet against CSV; fields, test sets and protocols as this version of dgunet defines them;
the tables made again; the claims judged again; restored images scored again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgunet.data.store.manifest import StoreManifest
from dgunet.evaluation.results import SUMMARY, TABLE, read_result_and_rows
from dgunet.paper.claims.claim_list import NAME, check_claims, digests, parse, text
from dgunet.paper.claims.claim_text import facts
from dgunet.paper.claims.effects import Result
from dgunet.paper.claims.judgement import JudgedClaim
from dgunet.paper.claims.verdicts import judge_claims
from dgunet.paper.formats import write_tables
from dgunet.paper.table_building import build_tables
from dgunet.paper.written_tables import CELLS, check_tables, read_cells
from dgunet.steps.computed_cells import recompute
from dgunet.steps.tables import CheckedResult, summaries_and_rows, with_server_scores
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.files import sha256_file, sha256_source
from dgunet.system.package_digest import code_version
from dgunet.system.reading import read_json, read_mapping, read_text
from dgunet.system.safe_paths import inside
from dgunet.tools import croissant
from dgunet.tools.bundles import standalone
from dgunet.tools.bundles.project_bundle import plain_cells
from dgunet.tools.bundles.rescoring import ScoredImages
from dgunet.tools.bundles.scored_bundle import (
    csv_faults,
    protocol_faults,
    score_faults,
)
from dgunet.tools.bundles.sealing import VERIFIER

JUDGED = (
    *("claim", "verdict", "statement", "place", "test", "claimed_db", "smallest_effect_db"),
    *("effect_db", "low_db", "high_db", "claimed_size", "p", "p_holm", "detectable_db"),
    *("images", "trainings", "reason", "notes", "claim_sha256"),
)
"""Fields of a verdict that follow from the evaluations and the claim."""

DIGITS = 1e-9
"""Relative difference of two numbers of a verdict that count as equal: sums of other machines."""


@dataclass
class BundleVerdict:
    """What was verified of a bundle, and what is wrong with it."""

    path: Path
    facts: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def is_bundle(path: Path) -> bool:
    """Whether ``path`` is a folder or zip file that may be a bundle."""
    return path.suffix == ".zip" or (path / standalone.INDEX).is_file()


def check_bundle(
    path: Path, *, key: bytes | None = None, rescore: ScoredImages | None = None
) -> BundleVerdict:
    """Verify a bundle; whatever is wrong is in the verdict.

    Args:
        path: folder or zip file.
        key: the 32 bytes of the public key that must have signed it, or None.
        rescore: the restored images and targets of a bundle of scores, to score again.
    """
    verdict = BundleVerdict(path)
    try:
        first = standalone.verify(path, key)
        verdict.facts, verdict.faults = first.facts, first.faults
        with _unpacked(path, first) as folder:
            index = read_mapping(folder / standalone.INDEX)
            same = read_mapping(folder / "environment.json").get("code") == code_version()
            if not same:
                verdict.facts.append("made by another version of dgunet")
            checks = _checks(folder, index, same, rescore, verdict.facts.append)
            for check in checks:
                verdict.faults += _faults_of(check, folder)
    except (standalone.BundleError, DgunetError, OSError) as error:
        verdict.faults.append(getattr(error, "message", None) or str(error))
    verdict.faults = list(dict.fromkeys(verdict.faults))
    return verdict


Check = Callable[[], Iterator[str]]


def _checks(
    folder: Path,
    index: dict[str, Any],
    same: bool,
    rescore: ScoredImages | None,
    note: Callable[[str], None],
) -> Iterator[Check]:
    yield lambda: _verifier_faults(folder, same)
    yield lambda: protocol_faults(folder)
    if index.get("kind") == "scores":
        yield lambda: score_faults(folder, rescore, note)
        return
    if rescore is not None:
        yield lambda: iter(["only a bundle of `dgunet score --bundle` can be scored again"])
    results: list[CheckedResult] = []
    yield lambda: _evaluation_faults(folder, results)
    if same:
        yield lambda: _description_faults(folder)
    if (folder / "cells.json").is_file():
        yield lambda: _table_faults(folder, results, same)
    yield lambda: _claim_faults(folder, results, same)


def _faults_of(check: Check, folder: Path) -> list[str]:
    """The faults that a check of the bundle in ``folder`` finds; an error is one too."""
    found: list[str] = []
    try:
        found.extend(check())
    except DgunetError as error:
        found.append(error.message.rstrip("."))
    except FileNotFoundError as error:
        found.append(f"{str(error.filename).removeprefix(f'{folder}/')} is missing")
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        found.append(f"a file has another form than in a bundle ({error!r})")
    return found


@contextmanager
def _unpacked(path: Path, bundle: standalone.Bundle) -> Iterator[Path]:
    """The folder of a bundle; that of a zip file is temporary."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="dgunet-bundle-") as temporary:
        for name in bundle.names:
            target = inside(Path(temporary), name, origin=str(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            with bundle.files.open(name) as source, target.open("wb") as made:
                shutil.copyfileobj(source, made)
        yield Path(temporary)


def _verifier_faults(folder: Path, same: bool) -> Iterator[str]:
    if same and sha256_source(folder / VERIFIER) != sha256_source(Path(standalone.__file__)):
        yield f"{VERIFIER} is not that of this version of dgunet, which made the bundle"


def _evaluation_faults(folder: Path, results: list[CheckedResult]) -> Iterator[str]:
    """Read each evaluation as the tables do; compare its CSV and the seal it was copied with."""
    for place in sorted((folder / "evaluations").iterdir()):
        name = place.relative_to(folder).as_posix()
        yield from csv_faults(place, name)
        seal = read_text(place / "folder.sha256")
        for file in (SUMMARY, TABLE):
            if f"{sha256_file(place / file)}  {file}\n" not in seal:
                yield f"{name}: {file} is not the one of folder.sha256, its folder's seal"
        try:
            summary, rows = read_result_and_rows(place, sealed=False)
        except DgunetError as error:
            yield error.message.rstrip(".").replace(f"{folder}/", "")
        else:
            results.append((place, summary, rows))


def _description_faults(folder: Path) -> Iterator[str]:
    """Compare the description of each prepared set with what its manifest gives."""
    for path in sorted(folder.glob("prepared/*/manifest.json")):
        described = croissant.describe_store(StoreManifest.read(path.parent, sealed=False), path)
        if read_text(path.with_name(croissant.FILE)) != croissant.as_text(described):
            name = path.with_name(croissant.FILE).relative_to(folder).as_posix()
            yield f"{name} is not what the manifest beside it gives"


def _table_faults(folder: Path, results: list[CheckedResult], same: bool) -> Iterator[str]:
    """Compare the tables with their index, and with the tables that the evaluations give."""
    tables = folder / "tables"
    check_tables(tables, sealed=False)
    cells = read_cells(tables / CELLS)
    if plain_cells(tables / CELLS) != read_json(folder / "cells.json"):
        yield f"cells.json differs from tables/{CELLS}"
    records = folder / "records" if (folder / "records").is_dir() else None
    made = recompute(cells, results, records)
    yield from made.differences
    if same and not made.differences:
        yield from _text_faults(tables, results, records, str(cells["tables_profile"].iloc[0]))


def _text_faults(
    tables: Path, results: list[CheckedResult], records: Path | None, profile: str
) -> Iterator[str]:
    found, rows = summaries_and_rows(results)
    made = build_tables(with_server_scores(found, records), profile=profile, rows=rows)
    with tempfile.TemporaryDirectory() as temporary:
        write_tables(made, Path(temporary))
        for path in sorted(Path(temporary).glob("table*.*")):
            if path.suffix != ".parquet" and path.read_bytes() != (tables / path.name).read_bytes():
                yield f"tables/{path.name} is not what its cells give"


def _claim_faults(folder: Path, results: list[CheckedResult], same: bool) -> Iterator[str]:
    """Judge the claims again."""
    content = read_text(folder / "claims" / NAME)
    if same and content != text():
        yield f"claims/{NAME} is not that of this version of dgunet, which made the bundle"
    items = parse(content)
    stated = read_mapping(folder / "claims" / "verdicts.json")["claims"]
    outcomes = judge_claims(
        check_claims(items), [Result.of(summary, rows) for _, summary, rows in results]
    )
    known = digests(items)
    if [each["claim"] for each in stated] != [each.claim.id for each in outcomes]:
        yield "claims/verdicts.json judges other claims"
        return
    for outcome, written in zip(outcomes, stated, strict=True):
        again = facts(JudgedClaim(outcome, known[outcome.claim.id], "", "", ()))
        for name in JUDGED:
            if not _equal(again[name], written[name]):
                yield (
                    f"claims: {name} of {outcome.claim.id} is {written[name]!r}, "
                    f"the evaluations give {again[name]!r}"
                )


def _equal(first: object, second: object) -> bool:
    if isinstance(first, float) and isinstance(second, int | float):
        return abs(first - second) <= DIGITS * max(1.0, abs(first))
    return first == second


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of a public key.

    Raises:
        DataError: if the file holds no Ed25519 public key.
    """
    try:
        return standalone.read_key(path)
    except standalone.BundleError as error:
        raise DataError(
            f"{error}.", "Name a PEM file, or one with 64 hexadecimal digits."
        ) from None
