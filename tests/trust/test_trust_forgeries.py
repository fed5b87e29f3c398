"""Forged bundles are refused with the reason, by `dgunet verify` and where it can by verify.py.

The forgers edit with care: they repair the seal, and where it says so the other hashes too.
"""

import json
import math
import shutil
from dataclasses import replace

import pytest
from made_bundles import write_keys
from made_results import digest, edit

from dgunet.evaluation.rows import mean, parse_rows, write_rows, write_rows_csv
from dgunet.system.files import sha256_file, write_json
from dgunet.system.seals import write_seal
from dgunet.tools.bundles import signing, standalone
from dgunet.tools.bundles.checking import check_bundle

RAIN = "evaluations/Test100-DGUNet"


def reseal(copy):
    """Repair SHA256SUMS."""
    (copy / "SHA256SUMS").unlink(missing_ok=True)
    hidden = {"signature.dsse.json"}
    names = [p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()]
    write_seal(copy, [name for name in names if name not in hidden])


def rows_of(copy, name=RAIN):
    return parse_rows((copy / name / "per_image.parquet").read_bytes(), name)[0]


def rewrite(copy, rows, name=RAIN, **changes):
    """Write another per-image table, and repair all that belongs to it."""
    place = copy / name
    write_rows(place / "per_image.parquet", rows)
    write_rows_csv(place / "per_image.csv", rows)
    summary = json.loads((place / "summary.json").read_text())
    for score in summary.keys() & set(standalone.SCORES):
        value = mean(getattr(row, score) for row in rows)
        summary[score] = None if value == math.inf else value
    table = sha256_file(place / "per_image.parquet")
    write_json(
        place / "summary.json",
        summary | {"images": len(rows), "per_image_sha256": table} | changes,
    )
    if (place / "folder.sha256").exists():
        names = ("per_image.parquet", "summary.json")
        lines = [f"{sha256_file(place / file)}  {file}\n" for file in names]
        (place / "folder.sha256").write_text("".join(lines))


def edited_mean(copy):
    psnr = json.loads((copy / RAIN / "summary.json").read_text())["psnr"]
    edit(copy / RAIN / "summary.json", psnr=psnr + 0.5)


def swapped_images(copy):
    path = copy / RAIN / "per_image.csv"
    head, first, second, *others = path.read_text().splitlines()
    swapped = [f"1,{second.partition(',')[2]}", f"2,{first.partition(',')[2]}"]
    path.write_text("\n".join([head, *swapped, *others]) + "\n")


def other_protocol(copy):
    rows = [replace(row, protocol="gopro-rgb") for row in rows_of(copy)]
    rewrite(copy, rows, protocol="gopro-rgb")


def other_version(copy):
    rows = [replace(row, protocol_version=2) for row in rows_of(copy)]
    rewrite(copy, rows, protocol_version=2)


def without_the_worst_image(copy):
    rows = sorted(rows_of(copy), key=lambda row: row.psnr)[1:]
    rewrite(copy, rows)


def without_the_worst_image_and_another_count(copy):
    rows = sorted(rows_of(copy), key=lambda row: row.psnr)[1:]
    rewrite(copy, rows, published_images=97)


def target_as_result(copy):
    first, *others = rows_of(copy)
    rewrite(copy, [replace(first, psnr=math.inf, ssim=1.0), *others], identical=1)


def target_as_result_of_compressive_sensing(copy):
    name = "evaluations/Set11-DGUNet-r10"
    first, *others = rows_of(copy, name)
    rewrite(copy, [replace(first, psnr=100.0, ssim=1.0), *others], name)


def duplicated_row(copy):
    rows = rows_of(copy)
    rewrite(copy, [*rows[:-1], rows[0]])


def duplicated_row_under_another_name(copy):
    rows = rows_of(copy)
    rewrite(copy, [*rows[:-1], replace(rows[0], id=rows[-1].id)])


def wrong_release(copy):
    name = "evaluations/Set11-DGUNet-r10"
    rewrite(copy, rows_of(copy, name), name, data_digest=digest("another release"))


def edited_score(copy):
    path = copy / RAIN / "per_image.csv"
    head, first, *others = path.read_text().splitlines()
    fields = first.split(",")
    fields[1] = repr(float(fields[1]) + 1)
    path.write_text("\n".join([head, ",".join(fields), *others]) + "\n")


def edited_cell(copy):
    cells = json.loads((copy / "cells.json").read_text())
    cell = next(cell for cell in cells if cell["per_image_sha256"])
    cell["value"] += 0.25
    cell["shown"] = f"{cell['value']:.2f}"
    write_json(copy / "cells.json", cells)


def edited_table(copy):
    path, index = copy / "tables/table1.md", copy / "tables/index.json"
    old = sha256_file(path)
    path.write_text(path.read_text().replace("MPRNet", "Another"))
    index.write_text(index.read_text().replace(old, sha256_file(path)))


def edited_verdict(copy):
    _edit_claim(copy, verdict="supported")


def edited_verdict_with_its_numbers(copy):
    numbers = {"effect_db": 9.0, "low_db": 8.0, "high_db": 10.0, "p": 0.0002, "p_holm": 0.001}
    _edit_claim(copy, verdict="supported", **numbers, reason="")


def _edit_claim(copy, **changes):
    content = json.loads((copy / "claims/verdicts.json").read_text())
    claim = next(each for each in content["claims"] if each["verdict"] == "not testable here")
    claim |= changes
    content["verdicts"]["supported"] += 1
    content["verdicts"]["not testable here"] -= 1
    write_json(copy / "claims/verdicts.json", content)


def edited_protocol(copy):
    content = json.loads((copy / "protocols.json").read_text())
    content[0]["definition"]["colour"] = "none, RGB"
    content[0]["digest"] = standalone.hashlib.sha256(
        json.dumps(content[0]["definition"], sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
    write_json(copy / "protocols.json", content)


def lenient_verifier(copy):
    (copy / "verify.py").write_text("print('ok')\n")


BOTH, LIBRARY = True, False
FORGERIES = {
    edited_mean: (BOTH, "in the summary, the rows give"),
    swapped_images: (LIBRARY, "'1' differs in per_image.csv and per_image.parquet"),
    other_protocol: (BOTH, "Test100 is scored under rain-y, not gopro-rgb"),
    other_version: (BOTH, "no protocol rain-y/2 is known"),
    without_the_worst_image: (BOTH, "97 of 98 images of Test100 are called complete"),
    without_the_worst_image_and_another_count: (BOTH, "Test100 has 98 images, not 97"),
    target_as_result: (BOTH, "the result of '1' equals its target: a target was submitted"),
    target_as_result_of_compressive_sensing: (BOTH, "the result of '1' equals its target"),
    duplicated_row: (BOTH, "the image '1' occurs twice"),
    duplicated_row_under_another_name: (BOTH, "the images '1' and '98' are the same result"),
    wrong_release: (BOTH, "Set11 is called complete, but its data"),
    edited_score: (BOTH, "in the summary, the rows give"),
    edited_cell: (BOTH, "Table 1, DGUNet (reproduced), Test100 PSNR: the cell is"),
    edited_table: (LIBRARY, "tables/table1.md is not what its cells give"),
    edited_verdict: (BOTH, "is 'supported', its numbers give 'not testable here'"),
    edited_verdict_with_its_numbers: (LIBRARY, "the evaluations give 'not testable here'"),
    edited_protocol: (LIBRARY, "cs-y/1 is defined otherwise"),
    lenient_verifier: (LIBRARY, "verify.py is not that of this version of dgunet"),
}


@pytest.fixture
def copy(bundles, tmp_path):
    return shutil.copytree(bundles.folder, tmp_path / "copy")


def refused(path, reason, key=None, *, alone=True, library=True):
    """The verifiers refuse the bundle, and a fault of each has the reason."""
    public = standalone.read_key(key) if key else None
    faults = [check_bundle(path, key=public).faults] if library else []
    if alone:
        faults.append(standalone.verify(path, public).faults)
    for found in faults:
        assert any(reason in fault for fault in found), found


def test_honest_bundles_are_accepted(bundles):
    for path in (bundles.folder, bundles.signed, bundles.packed):
        assert check_bundle(path).faults == []
    public = standalone.read_key(bundles.public)
    signed = check_bundle(bundles.signed, key=public)
    assert signed.faults == []
    assert any("checked" in fact for fact in signed.facts)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forgery_with_a_repaired_seal_is_refused(copy, forge):
    alone, reason = FORGERIES[forge]
    forge(copy)
    reseal(copy)
    refused(copy, reason, alone=alone)
    if not alone:
        assert standalone.verify(copy).faults == [], "docs/bundles.md says what verify.py finds"


def test_an_edit_without_a_repaired_seal_is_refused(copy):
    swapped_images(copy)
    refused(copy, f"{RAIN}/per_image.csv was changed: its SHA-256 is")


def test_a_removed_file_is_refused(copy):
    (copy / "environment.json").unlink()
    refused(copy, "environment.json was removed")


@pytest.mark.parametrize("name", ["tables/more.csv", ".hidden", "evaluations/Fake/summary.json"])
def test_an_added_file_is_refused(copy, name):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("{}")
    refused(copy, f"{name} was added", library=False)


def test_a_removed_evaluation_is_refused(copy):
    shutil.rmtree(copy / "evaluations/Set11-DGUNet-r10")
    reseal(copy)
    refused(
        copy, "evaluations/Set11-DGUNet-r10 is missing, but listed in bundle.json", library=False
    )


def test_a_signature_by_another_key_is_refused(bundles, copy, tmp_path):
    private, other = write_keys(tmp_path, "other")
    signing.sign(copy, signing.load_key(private))
    refused(copy, "the signature is wrong: the key", bundles.public)
    assert standalone.verify(copy, standalone.read_key(other)).faults == []


def test_a_bundle_that_was_edited_and_sealed_after_its_signature_is_refused(bundles, tmp_path):
    copy = shutil.copytree(bundles.signed, tmp_path / "copy")
    rewrite(copy, [replace(row, psnr=row.psnr + 1) for row in rows_of(copy)])
    reseal(copy)
    for key in (None, bundles.public):
        refused(copy, "the bundle was changed after it was signed", key, library=False)


def test_a_statement_that_was_changed_in_the_envelope_is_refused(bundles, tmp_path):
    copy = shutil.copytree(bundles.signed, tmp_path / "copy")
    edited_mean(copy)
    reseal(copy)
    path = copy / "signature.dsse.json"
    content = json.loads(path.read_text())
    statement = json.loads(standalone.base64.b64decode(content["payload"]))
    statement["subject"][0]["digest"]["sha256"] = sha256_file(copy / "SHA256SUMS")
    content["payload"] = standalone.base64.b64encode(json.dumps(statement).encode()).decode()
    write_json(path, content)
    refused(copy, "the signature is wrong: the key", bundles.public, library=False)


def test_an_unsigned_bundle_is_refused_where_a_key_is_given(bundles):
    refused(bundles.folder, "the bundle is not signed", bundles.public, library=False)
    assert any("not signed" in fact for fact in standalone.verify(bundles.folder).facts)
