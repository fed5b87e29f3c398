"""The tables step shows server scores only for the results that were submitted."""

import json

import pytest

from dgunet.steps.tables import with_server_scores

SUMMARY = {
    "dataset": "DND",
    "row": "DGUNet",
    "variant": "DGUNet",
    "ratio": None,
    "checkpoint_sha256": "c" * 64,
    "data_digest": "d" * 64,
    "per_image_sha256": "e" * 64,
    "state": "waiting for the server",
    "psnr": None,
    "ssim": None,
    "input_psnr": None,
    "input_ssim": None,
}


@pytest.fixture
def records(tmp_path):
    kept = ("row", "variant", "checkpoint_sha256", "data_digest", "per_image_sha256")
    score = {key: SUMMARY[key] for key in kept} | {
        "psnr": 40.0,
        "ssim": 0.95,
        "bundle_sha256": "b" * 64,
        "evidence": "mail.eml",
        "evidence_sha256": "f" * 64,
    }
    (tmp_path / "dnd-DGUNet.json").write_text(json.dumps(score))
    return tmp_path


def test_a_server_score_is_shown_for_its_own_evaluation(records):
    (scored,) = with_server_scores([SUMMARY], records)
    assert (scored["psnr"], scored["ssim"], scored["state"]) == (40.0, 0.95, "measured")


def test_a_server_score_of_other_results_is_reported_and_not_shown(records, caplog):
    other = SUMMARY | {"per_image_sha256": "0" * 64}
    assert with_server_scores([other], records) == [other]
    assert "belongs to other results" in caplog.text


def test_without_records_nothing_changes():
    assert with_server_scores([SUMMARY], None) == [SUMMARY]
