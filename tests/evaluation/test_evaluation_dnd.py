"""DND: the submission for its server and the score that it returns."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import scipy.io
from evaluation_stand_ins import box_store, evaluate_store, merge, score_rows, work_of

from dgunet.evaluation.dnd import (
    apply_score,
    bundle_boxes,
    record_score,
    write_box,
    zip_submission,
)
from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.restoration import identity
from dgunet.evaluation.rows import array_sha256
from dgunet.system.errors import DataError, EvaluationError


def test_the_bundle_has_the_format_of_the_server(tmp_path):
    store = box_store()
    evaluate_store(identity, store, protocol("dnd-server"), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "SHA256SUMS",
        "bundled",
        "per_image.parquet",
        "summary.json",
    ]
    for image in (1, 2):
        content = scipy.io.loadmat(tmp_path / "bundled" / f"{image:04d}.mat")
        assert content["Idenoised"].shape == (1, 20)
        assert content["israw"].item() == 0
        assert content["eval_version"].item() == "1.0"
        for box in range(20):
            cell = content["Idenoised"][0, box]
            assert cell.dtype == np.float32
            given = store.records[(image - 1) * 20 + box].input
            np.testing.assert_allclose(cell, given, atol=1e-6)


def test_the_bundle_is_not_rounded_and_contains_no_timestamp(tmp_path):
    box = np.full((2, 2, 3), 0.12345, np.float32)
    for name in ("a", "b"):
        write_box(tmp_path / name, "0001_01", box)
        bundle_boxes(tmp_path / name, tmp_path / f"{name}.out", {"0001_01": array_sha256(box)})
    first, second = ((tmp_path / f"{n}.out" / "0001.mat").read_bytes() for n in "ab")
    assert first == second
    assert b"20" not in first[:116]
    content = scipy.io.loadmat(tmp_path / "a.out" / "0001.mat")
    assert content["Idenoised"][0, 0][0, 0, 0] == np.float32(0.12345)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (["0001_01", "0001_03"], "lacks box 2"),
        (["photo"], "not the name of a DND box"),
        (["0001_01", "0001_02"], "0001_02.npy is missing"),
        (["../../0001_01"], "not the name of a DND box"),
        (["0001_\u00b2"], "not the name of a DND box"),
    ],
)
def test_invalid_boxes_leave_no_bundle(tmp_path, records, message):
    box = np.zeros((2, 2, 3), np.float32)
    for record in ("0001_01", "0001_03"):
        write_box(tmp_path / "boxes", record, box)
    with pytest.raises(DataError, match=message):
        bundle_boxes(
            tmp_path / "boxes", tmp_path / "out", dict.fromkeys(records, array_sha256(box))
        )
    assert not (tmp_path / "out").exists()


def test_a_box_cannot_be_written_outside_its_folder(tmp_path):
    with pytest.raises(DataError, match="not the name of a DND box"):
        write_box(tmp_path / "boxes", "../0001_01", np.zeros((2, 2, 3), np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["changed", "cut off", "gone"])
def test_a_changed_box_of_a_killed_evaluation_is_restored_again(tmp_path, damage):
    store, rules = box_store(), protocol("dnd-server")
    known = {"checkpoint_sha256": "c" * 64}
    evaluate_store(identity, store, rules, tmp_path / "whole", **known)
    settings = Settings(row="DGUNet", **known)
    score_rows(identity, store, rules, tmp_path / "killed", settings)
    box = work_of(store, rules, tmp_path / "killed", settings) / "boxes" / "0002_03.npy"
    content = box.read_bytes()
    box.unlink()
    if damage != "gone":
        box.write_bytes(content[:-1] + b"\x01" if damage == "changed" else content[:100])
    with pytest.raises(DataError, match="Run the same evaluation again"):
        merge(store, rules, tmp_path / "killed", settings)
    seen = []
    evaluate_store(
        identity,
        store,
        rules,
        tmp_path / "killed",
        on_row=lambda row, *_: seen.append(row),
        **known,
    )
    assert [row.id for row in seen] == ["0002_03"]
    for name in ("bundled/0002.mat", "per_image.parquet", "summary.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_submission_holds_the_fifty_files(evaluated, tmp_path):
    out, _ = evaluated
    digest = zip_submission(out, tmp_path / "a.zip")
    assert digest == zip_submission(out, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == [f"{n:04d}.mat" for n in range(1, 51)]


def test_a_sample_cannot_be_submitted(tmp_path):
    evaluate_store(identity, box_store(), protocol("dnd-server"), tmp_path)
    with pytest.raises(EvaluationError, match="has 2 files; the server takes 50"):
        zip_submission(tmp_path, tmp_path / "a.zip")
    scipy.io.savemat(tmp_path / "few.mat", {"Idenoised": np.full(19, "box", object)})
    for image in range(1, 51):
        shutil.copy(tmp_path / "few.mat", tmp_path / "bundled" / f"{image:04d}.mat")
    with pytest.raises(EvaluationError, match="does not hold 20 boxes"):
        zip_submission(tmp_path, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_server_score_is_applied_only_to_its_own_summary(evaluated, tmp_path):
    out, summary = evaluated
    mail = tmp_path / "mail.eml"
    mail.write_text("PSNR 40.04 SSIM 0.963")
    score = record_score(out, summary, 40.04, 0.963, mail, tmp_path / "records" / "dnd.json")
    filled = apply_score(summary, score)
    assert (filled["psnr"], filled["ssim"], filled["state"]) == (40.04, 0.963, "measured")
    assert (tmp_path / "records" / "dnd.evidence.eml").read_text() == mail.read_text()
    assert json.loads((tmp_path / "records" / "dnd.json").read_text())["psnr"] == 40.04
    for key in ("checkpoint_sha256", "data_digest", "per_image_sha256", "row"):
        with pytest.raises(EvaluationError, match=key):
            apply_score(summary | {key: "other"}, score)


@pytest.mark.parametrize(
    ("changed", "score", "evidence", "message"),
    [
        ({"profile": "sample"}, (40.0, 0.96), "mail", "profile sample"),
        ({"complete": False}, (40.0, 0.96), "mail", "complete real set"),
        ({"protocol": "rain-y"}, (40.0, 0.96), "mail", "rain-y"),
        ({}, (400.0, 0.96), "mail", "is impossible"),
        ({}, (40.0, 96.0), "mail", "is impossible"),
        ({}, (40.0, 0.96), "", "missing or empty"),
    ],
)
def test_a_server_score_without_evidence_or_complete_results_is_refused(
    evaluated, tmp_path, changed, score, evidence, message
):
    out, summary = evaluated
    mail = tmp_path / "mail.eml"
    mail.write_text(evidence)
    with pytest.raises(EvaluationError, match=message):
        record_score(out, summary | changed, *score, mail, tmp_path / "dnd.json")
    assert not (tmp_path / "dnd.json").exists()
