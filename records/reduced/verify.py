#!/usr/bin/env python3
"""Verify a bundle of results with the standard library alone (Python 3.8 or newer).

    python verify.py [BUNDLE] [--key PUBLIC]

BUNDLE is a folder or a zip file; without it, the folder of this file. Every file is compared with
its SHA-256 in SHA256SUMS, and every mean, every count and every cell of the tables is computed
again from the scores of the single images. With --key (a PEM file or 64 hexadecimal digits) the
Ed25519 signature is checked. The exit status is 0 if nothing is wrong, otherwise 1.

A bundle whose maker changed scores, means and hashes together can only be detected by its
signature, or by scoring the restored images again. Use a copy of this file that you trust:
whoever edits a bundle can edit the copy inside.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import csv
import hashlib
import io
import json
import math
import os
import stat
import sys
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import IO, Any, Iterator  # noqa: UP035 - for Python 3.8

SEAL, SIGNATURE, INDEX = "SHA256SUMS", "signature.dsse.json", "bundle.json"
FORMAT = "dgunet-bundle/1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
MOST_BYTES = 1 << 28

# Images of the published release of each test set, its protocol, and its digest where it is known.
PUBLISHED = {
    "Test100": (98, "rain-y", ""),
    "Rain100H": (100, "rain-y", "0351abea"),
    "Rain100L": (100, "rain-y", "e0b3a89e"),
    "Test2800": (2800, "rain-y", ""),
    "Test1200": (1200, "rain-y", ""),
    "GoPro": (1111, "gopro-rgb", ""),
    "HIDE": (2025, "gopro-rgb", ""),
    "RealBlur-J": (980, "realblur-aligned", ""),
    "RealBlur-R": (980, "realblur-aligned", ""),
    "SIDD": (1280, "sidd-blocks", ""),
    "SIDD-benchmark": (1280, "sidd-blocks", ""),
    "DND": (1000, "dnd-server", ""),
    "Set11": (11, "cs-y", "2a343dd8"),
    "BSD68": (68, "cs-y", "71d72bbd"),
}
VERSIONS = {
    "rain-y": 1,
    "gopro-rgb": 1,
    "realblur-aligned": 1,
    "sidd-blocks": 1,
    "dnd-server": 1,
    "cs-y": 1,
}
IDENTICAL = {"cs-y": 100.0}  # the PSNR of an image that equals its target; otherwise infinite
SUBMITTED = "a target was submitted as a result"
SCORES = ("psnr", "ssim", "input_psnr", "input_ssim")

UNREADABLE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
MALFORMED = (KeyError, TypeError, AttributeError, ValueError, OverflowError, csv.Error)


class BundleError(Exception):
    """The bundle cannot be read, or is no bundle."""


class Folder:
    """The files of a bundle that is a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """The relative paths of all files, hidden ones too."""
        found = []
        for here, folders, files in os.walk(str(self.path)):
            for name in folders + files:
                mode = os.lstat(os.path.join(here, name)).st_mode  # noqa: PTH118
                path = Path(here, name).relative_to(self.path).as_posix()
                if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                    raise BundleError(f"{path} is a link or no file")
                if stat.S_ISREG(mode) and not _is_byte_code(path):
                    found.append(path)
        return sorted(found)

    def open(self, name: str) -> IO[bytes]:
        """Open one of `names`."""
        return (self.path / name).open("rb")


class Archive:
    """The files of a bundle that is a zip file."""

    def __init__(self, path: Path) -> None:
        try:
            self.zip = zipfile.ZipFile(str(path))
        except (zipfile.BadZipFile, OSError) as error:
            raise BundleError(f"{path} is no zip file ({error})") from None

    def names(self) -> list[str]:
        """The names of all members; refuses those that would be dangerous to unpack."""
        members = [member for member in self.zip.infolist() if not member.is_dir()]
        names = [member.filename for member in members]
        for member in members:
            name, parts = member.filename, member.filename.split("/")
            if ".." in parts or "\\" in name or not parts[0] or ":" in parts[0]:
                raise BundleError(f"the member {name!r} leads out of its folder")
            if member.file_size > 300 * member.compress_size + MOST_BYTES // 16:
                raise BundleError(f"the member {name!r} is compressed implausibly well")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise BundleError(f"the member {name!r} is a link")
        for name, count in Counter(names).items():
            if count > 1:
                raise BundleError(f"the member {name!r} occurs twice")
        return sorted(names)

    def open(self, name: str) -> IO[bytes]:
        """Open one of `names`."""
        return self.zip.open(name)


def _is_byte_code(name: str) -> bool:
    return name.startswith("__pycache__/") and name.endswith(".pyc")


class Bundle:
    """A bundle's files, and what was found wrong with them."""

    def __init__(self, path: Path) -> None:
        self.files = Folder(path) if path.is_dir() else Archive(path)
        self.names = self.files.names()
        self.faults: list[str] = []
        self.facts: list[str] = []
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.summaries: dict[str, dict[str, Any]] = {}

    def read(self, name: str) -> bytes:
        """The content of a file."""
        if name not in self.names:
            raise BundleError(f"{name} is missing")
        try:
            with self.files.open(name) as handle:
                content = handle.read(MOST_BYTES + 1)
        except UNREADABLE as error:
            raise BundleError(f"{name} cannot be read ({error})") from None
        if len(content) > MOST_BYTES:
            raise BundleError(f"{name} is larger than {MOST_BYTES} bytes")
        return content

    def json(self, name: str) -> Any:
        """The content of a JSON file."""
        try:
            return json.loads(self.read(name).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{name} is no JSON ({error})") from None

    def sha256(self, name: str) -> str:
        """The SHA-256 of a file, which is read in pieces."""
        digest = hashlib.sha256()
        try:
            with self.files.open(name) as handle:
                for piece in iter(lambda: handle.read(1 << 20), b""):
                    digest.update(piece)
        except UNREADABLE as error:
            raise BundleError(f"{name} cannot be read ({error})") from None
        return digest.hexdigest()

    def expect(self, true: bool, fault: str) -> None:
        """Note ``fault`` unless ``true``."""
        if not true:
            self.faults.append(fault)


def verify(path: Path, key: bytes | None = None) -> Bundle:
    """Verify the bundle at ``path``; its ``faults`` say what is wrong.

    Args:
        path: a folder or a zip file.
        key: the 32 bytes of an Ed25519 public key that must have signed it.

    Raises:
        BundleError: if it cannot be read at all.
    """
    bundle = Bundle(path)
    if INDEX not in bundle.names:
        raise BundleError(f"{path} is no bundle: it has no {INDEX}")
    for check in (
        check_seal,
        lambda one: check_signature(one, key),
        check_index,
        check_evaluations,
        check_protocols,
        check_prepared,
        check_cells,
        check_claims,
    ):
        try:
            check(bundle)
        except BundleError as error:
            bundle.faults.append(str(error))
        except MALFORMED as error:
            bundle.faults.append(f"a file has another form than in a bundle ({error!r})")
    bundle.faults = list(dict.fromkeys(bundle.faults))
    return bundle


def check_seal(bundle: Bundle) -> None:
    """Compare every file with SHA256SUMS, which lists all but itself and the signature."""
    stated = {}
    for number, line in enumerate(bundle.read(SEAL).decode("utf-8").splitlines(), start=1):
        digest, gap, name = line[:64], line[64:66], line[66:]
        if gap != "  " or not name or name in stated or digest.strip("0123456789abcdef"):
            raise BundleError(f"{SEAL}, line {number} is not a SHA-256 and a name")
        stated[name] = digest
    present = set(bundle.names) - {SEAL, SIGNATURE}
    for name in sorted(present | set(stated)):
        if name not in present:
            bundle.faults.append(f"{name} was removed: {SEAL} lists it")
        elif name not in stated:
            bundle.faults.append(f"{name} was added: {SEAL} does not list it")
        else:
            found = bundle.sha256(name)
            bundle.expect(
                found == stated[name],
                f"{name} was changed: its SHA-256 is {found}, {SEAL} states {stated[name]}",
            )
    bundle.facts.append(f"{len(stated)} files hashed")


def check_signature(bundle: Bundle, key: bytes | None) -> None:
    """Check the DSSE envelope: its statement is about this seal, and ``key`` signed it."""
    if SIGNATURE not in bundle.names:
        bundle.facts.append("not signed: a forger could have made all of it")
        bundle.expect(key is None, f"the bundle is not signed: it has no {SIGNATURE}")
        return
    envelope = bundle.json(SIGNATURE)
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [
            (str(one["keyid"]), base64.b64decode(one["sig"], validate=True))
            for one in envelope["signatures"]
        ]
    except binascii.Error as error:
        raise BundleError(f"{SIGNATURE} is no DSSE envelope ({error})") from None
    statement = json.loads(payload.decode("utf-8"))
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    bundle.expect(
        envelope["payloadType"] == PAYLOAD_TYPE and statement["_type"] == STATEMENT,
        f"{SIGNATURE} holds no in-toto statement",
    )
    bundle.expect(
        subjects.get(SEAL) == bundle.sha256(SEAL),
        f"the signature is of another {SEAL}: the bundle was changed after it was signed",
    )
    ids = ", ".join(name[:16] for name, _ in signatures)
    if key is None:
        bundle.facts.append(f"signed by the key {ids}, NOT CHECKED: give --key PUBLIC")
        return
    message = pre_authentication_encoding(envelope["payloadType"], payload)
    bundle.expect(
        any(ed25519_verify(key, message, signature) for _, signature in signatures),
        f"the signature is wrong: the key {key_id(key)[:16]} did not sign this (signed by {ids})",
    )
    bundle.facts.append(f"signature of the key {key_id(key)[:16]} checked")


def check_index(bundle: Bundle) -> None:
    """Compare what bundle.json lists with the files."""
    index = bundle.json(INDEX)
    bundle.expect(index["format"] == FORMAT, f"{INDEX}: the format is {index['format']!r}")
    found = {n.split("/")[1] for n in bundle.names if n.startswith("evaluations/")}
    for name in sorted(found ^ set(index["evaluations"])):
        state = "is not listed in" if name in found else "is missing, but listed in"
        bundle.faults.append(f"evaluations/{name} {state} {INDEX}")
    weights = {one["sha256"]: one for one in index["weights"]}
    for digest, one in weights.items():
        if one["file"] is not None:
            found_digest = bundle.sha256(one["file"]) if one["file"] in bundle.names else "missing"
            bundle.expect(
                found_digest == digest,
                f"{one['file']}: the SHA-256 is {found_digest}, not {digest}",
            )
    for name in sorted(found & set(index["evaluations"])):
        used = bundle.json(f"evaluations/{name}/summary.json").get("checkpoint_sha256", "")
        bundle.expect(not used or used in weights, f"{name}: its weights {used} are not listed")


def read_rows(bundle: Bundle, folder: str) -> list[dict[str, Any]]:
    """The per-image table of an evaluation: scores as floats or None, the rest as text."""
    name = f"{folder}/per_image.csv"
    reader = csv.DictReader(io.StringIO(bundle.read(name).decode("utf-8"), newline=""))
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(reader, start=1):
        row: dict[str, Any] = dict(line)
        for score in SCORES:
            row[score] = float(line[score]) if line[score] else None
            bundle.expect(
                row[score] is None or -100 <= row[score] <= 200 or row[score] == math.inf,
                f"{name}, row {number}: {score} is {line[score]}",
            )
        rows.append(row)
    return rows


def mean(values: list[float | None]) -> float | None:
    """The mean with an exactly rounded sum; None without values or with a missing one."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def check_evaluations(bundle: Bundle) -> None:
    """Check each evaluation: hashes, number of images, means, protocol, release."""
    names = sorted({n.split("/")[1] for n in bundle.names if n.startswith("evaluations/")})
    count = 0
    for name in names:
        folder = f"evaluations/{name}"
        try:
            summary, rows = bundle.json(f"{folder}/summary.json"), read_rows(bundle, folder)
            bundle.summaries[name], bundle.rows[name] = summary, rows
            for fault in evaluation_faults(summary, rows):
                bundle.faults.append(f"{folder}: {fault}")
            parquet = bundle.sha256(f"{folder}/per_image.parquet")
            bundle.expect(
                parquet == summary["per_image_sha256"],
                f"{folder}: per_image.parquet has the SHA-256 {parquet}, the summary states "
                f"{summary['per_image_sha256']}",
            )
            check_targets(bundle, folder, rows)
        except BundleError as error:
            bundle.faults.append(str(error))
        except MALFORMED as error:
            bundle.faults.append(f"{folder} has another form than in a bundle ({error!r})")
        count += len(bundle.rows.get(name, ()))
    bundle.facts.append(f"{len(names)} evaluations averaged again over {count} images")


def evaluation_faults(summary: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[str]:
    """What of a summary disagrees with its rows or with the published test set."""
    ids = [row["id"] for row in rows]
    for name, count in Counter(ids).items():
        if count > 1:
            yield f"the image {name!r} occurs twice"
    seen: dict[tuple[Any, ...], str] = {}
    for row in rows:
        same = (row["restored_sha256"], *(row[score] for score in SCORES))
        if row["psnr"] is not None and same in seen:
            yield f"the images {seen[same]!r} and {row['id']!r} are the same result"
        seen[same] = row["id"]
    if len(rows) != summary["images"]:
        yield f"the summary states {summary['images']} images, the table has {len(rows)}"
    for score in SCORES:
        average = mean([row[score] for row in rows])
        average = None if average == math.inf else average
        if summary.get(score) != average:
            yield f"{score} is {summary.get(score)!r} in the summary, the rows give {average!r}"
    for key, values in (
        ("protocol", {row["protocol"] for row in rows}),
        ("protocol_version", {int(row["protocol_version"]) for row in rows}),
    ):
        if values != {summary[key]}:
            yield f"{key} is {summary[key]!r} in the summary, {sorted(values)} in the rows"
    if VERSIONS.get(summary["protocol"]) != summary["protocol_version"]:
        yield f"no protocol {summary['protocol']}/{summary['protocol_version']} is known"
    yield from _identical(rows)
    yield from _release_faults(summary)


def _identical(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Rows whose result equals the target though the input did not."""
    for row in rows:
        top = IDENTICAL.get(row["protocol"], math.inf)
        if row["psnr"] in (top, math.inf) and row["input_psnr"] not in (top, math.inf):
            yield f"the result of {row['id']!r} equals its target: {SUBMITTED}"


def _release_faults(summary: dict[str, Any]) -> Iterator[str]:
    """What of a summary disagrees with the published release of the test set."""
    if (dataset := summary.get("dataset")) is None:
        return
    if dataset not in PUBLISHED:
        yield f"the test set {dataset!r} is not known"
        return
    images, protocol, digest = PUBLISHED[dataset]
    if summary["protocol"] != protocol:
        yield f"{dataset} is scored under {protocol}, not {summary['protocol']}"
    if summary["published_images"] != images:
        yield f"{dataset} has {images} images, not {summary['published_images']}"
    if "profile" not in summary and not summary["complete"]:
        yield f"{summary['images']} of {images} images of {dataset}: not the whole test set"
    if summary["complete"] and summary["images"] != images:
        yield f"{summary['images']} of {images} images of {dataset} are called complete"
    if summary["complete"] and summary.get("profile") == "sample":
        yield "a result of the sample is called complete"
    data = summary.get("data_digest")
    if summary["complete"] and data and digest and not data.startswith(digest):
        yield f"{dataset} is called complete, but its data {data} is another release"


def check_targets(bundle: Bundle, folder: str, rows: list[dict[str, Any]]) -> None:
    """Compare the hashes of the scored targets, if the bundle has them, with the results."""
    if f"{folder}/targets.csv" not in bundle.names:
        return
    text = bundle.read(f"{folder}/targets.csv").decode("utf-8")
    targets = {line["id"]: line["target_sha256"] for line in csv.DictReader(io.StringIO(text))}
    bundle.expect(
        set(targets) == {row["id"] for row in rows},
        f"{folder}: targets.csv and per_image.csv name other images",
    )
    digests = list(targets.values())
    bundle.expect(len(set(digests)) == len(digests), f"{folder}: a target occurs twice")
    for row in rows:
        bundle.expect(
            targets.get(row["id"]) != row["restored_sha256"],
            f"{folder}: the result of {row['id']!r} is its target: {SUBMITTED}",
        )


def check_protocols(bundle: Bundle) -> None:
    """Compare the protocol definitions with their digests, and with those that are used."""
    known = {}
    for one in bundle.json("protocols.json"):
        text = json.dumps(one["definition"], sort_keys=True, separators=(",", ":"))
        bundle.expect(
            hashlib.sha256(text.encode()).hexdigest() == one["digest"],
            f"protocols.json: the definition of {one['name']} was changed",
        )
        known[one["name"]] = one["version"]
    for name, summary in bundle.summaries.items():
        bundle.expect(
            known.get(summary["protocol"]) == summary["protocol_version"],
            f"evaluations/{name}: protocols.json does not define its protocol",
        )


def check_prepared(bundle: Bundle) -> None:
    """Compare evaluations with the manifests of the prepared sets that the bundle has."""
    for name, summary in bundle.summaries.items():
        manifest_name = f"prepared/{summary.get('dataset')}/manifest.json"
        if manifest_name in bundle.names:
            manifest = bundle.json(manifest_name)
            bundle.expect(
                manifest["digest"] == summary["data_digest"],
                f"evaluations/{name}: its data is {summary['data_digest']}, {manifest_name} "
                f"states {manifest['digest']}",
            )


def check_cells(bundle: Bundle) -> None:
    """Compute every cell of the tables again from the scores of the single images."""
    if "cells.json" not in bundle.names:
        bundle.facts.append("no tables")
        return
    done = server = 0
    results = {(s["dataset"], s["row"], s["ratio"]): n for n, s in bundle.summaries.items()}
    for cell in bundle.json("cells.json"):
        if cell["source"] == "published" or cell["value"] is None:
            continue
        place = f"Table {cell['table']}, {cell['row']}, {cell['column']} {cell['metric']}"
        sets = cell["dataset"].split()
        names = [results.get((one, cell["key"], cell["ratio"])) for one in sets]
        if any(name is None for name in names):
            bundle.faults.append(f"{place}: its evaluation is not in the bundle")
            continue
        rows = [bundle.rows[str(name)] for name in names]
        if any(bundle.summaries[str(name)]["state"] == "waiting for the server" for name in names):
            server += 1
            continue
        means = [mean([row[cell["metric"].lower()] for row in one]) for one in rows]
        value = None if None in means else math.fsum(m for m in means if m is not None) / len(means)
        bundle.expect(
            value == cell["value"],
            f"{place}: the cell is {cell['value']!r}, the rows give {value!r}",
        )
        decimals = len(cell["shown"].partition(".")[2])
        bundle.expect(
            abs(float(cell["shown"]) - cell["value"]) <= 0.5000001 * 10.0**-decimals,
            f"{place}: {cell['shown']} is shown for {cell['value']!r}",
        )
        bundle.expect(
            cell["images"] == sum(map(len, rows)), f"{place}: it states {cell['images']} images"
        )
        done += 1
    bundle.facts.append(f"{done} cells computed again")
    if server:
        bundle.facts.append(f"{server} cells come from DND's server and cannot be")


def check_claims(bundle: Bundle) -> None:
    """Check that each verdict follows from the numbers beside it; `dgunet verify` judges again."""
    if "claims/verdicts.json" not in bundle.names:
        return
    content = bundle.json("claims/verdicts.json")
    counts: dict[str, int] = {}
    for claim in content["claims"]:
        verdict = claim["verdict"]
        counts[verdict] = counts.get(verdict, 0) + 1
        wanted = "not testable here"
        if claim["effect_db"] is not None:
            wanted = "inconclusive"
            if claim["p_holm"] <= 0.05:
                above = claim["effect_db"] > claim["smallest_effect_db"]
                wanted = "supported" if above else "contradicted"
        bundle.expect(
            verdict == wanted,
            f"claims: the verdict on {claim['claim']} is {verdict!r}, its numbers give {wanted!r}",
        )
    stated = {verdict: number for verdict, number in content["verdicts"].items() if number}
    bundle.expect(stated == counts, f"claims: {stated} are stated, {counts} are listed")
    bundle.facts.append(f"{len(content['claims'])} verdicts on claims compared with their numbers")


# Ed25519, RFC 8032, Section 5.1: verification only. Points are in extended coordinates
# (X, Y, Z, T) with x = X/Z, y = Y/Z and x y = T/Z.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def _add(a: Any, b: Any) -> Any:
    """The sum of two points, Section 5.1.4."""
    low, high = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = high - low, d - c, d + c, high + low
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _times(factor: int, point: Any) -> Any:
    """``factor`` times a point."""
    total = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total


def _x(y: int, sign: int) -> int | None:
    """The x coordinate with this sign, or None if there is none, Section 5.1.3."""
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def _decode(content: bytes) -> Any:
    """The point of 32 bytes, or None, Section 5.1.3."""
    number = int.from_bytes(content, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    x = _x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (_x(BASE_Y, 0), BASE_Y, 1, int(_x(BASE_Y, 0) or 0) * BASE_Y % P)


def ed25519_verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (64 bytes) of ``message`` is by ``key`` (32 bytes), Section 5.1.7."""
    if len(key) != 32 or len(signature) != 64:
        return False
    public, commitment = _decode(key), _decode(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    left, right = _times(scalar, BASE), _add(commitment, _times(challenge, public))
    return not (left[0] * right[2] - right[0] * left[2]) % P and not (
        (left[1] * right[2] - right[1] * left[2]) % P
    )


def pre_authentication_encoding(kind: str, payload: bytes) -> bytes:
    """What a DSSE signature signs."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def key_id(key: bytes) -> str:
    """The name of a public key: the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key).hexdigest()


def read_key(path: Path) -> bytes:
    """The 32 bytes of an Ed25519 public key in a PEM file, or as hexadecimal digits.

    Raises:
        BundleError: if it is no such key.
    """
    try:
        lines = path.read_text(encoding="ascii").split("\n")
        if lines[0].strip() == "-----BEGIN PUBLIC KEY-----":
            der = base64.b64decode("".join(one for one in lines if "-" not in one))
            content = der[12:] if der[:12].hex() == "302a300506032b6570032100" else b""
        else:
            content = bytes.fromhex("".join(lines).strip())
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is no public key ({error})") from None
    if len(content) != 32:
        raise BundleError(f"{path} is no Ed25519 public key")
    return content


def main() -> int:
    """Verify the bundle that the arguments name; print what was done and what is wrong."""
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(description=lines[0])
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--key", type=Path, help="public key: PEM, or 64 hexadecimal digits")
    given = parser.parse_args()
    try:
        bundle = verify(given.bundle, read_key(given.key) if given.key else None)
    except BundleError as error:
        print(f"FAILED: {error}")
        return 1
    for fact in bundle.facts:
        print(f"  {fact}")
    for fault in bundle.faults:
        print(f"  WRONG: {fault}")
    print("FAILED" if bundle.faults else "ok: nothing was edited, by all that can be checked here")
    return 1 if bundle.faults else 0


if __name__ == "__main__":
    sys.exit(main())
