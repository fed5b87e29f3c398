"""Server scores and gathered results are validated field by field."""

import json
import os
import subprocess
import sys

import pytest
from made_results import digest, edit, write_result

from dgunet.evaluation.server_scores import read_scores
from dgunet.kubeflow.steps.dnd_records import read_records, submission_page, write_records
from dgunet.kubeflow.steps.gather_results import gather_results
from dgunet.paper.formats import write_tables
from dgunet.paper.table_building import build_tables
from dgunet.system.errors import ConfigError, DataError, DgunetError, EvaluationError
from dgunet.system.files import sha256_file
from dgunet.system.leftovers import partial_name


def score(**changes):
    return {
        "row": "DGUNet",
        "variant": "DGUNet",
        "psnr": 39.5,
        "ssim": 0.955,
        "checkpoint_sha256": digest(1),
        "data_digest": digest(2),
        "per_image_sha256": digest(3),
        "bundle_sha256": digest(4),
        "evidence": "dnd-DGUNet.evidence.eml",
        "evidence_sha256": digest(5),
    } | changes


WRONG = [
    ({"psnr": 139.5}, "psnr is 139.5"),
    ({"psnr": 0.0}, "psnr is 0.0"),
    ({"psnr": "39.5"}, "psnr is '39.5'"),
    ({"psnr": True}, "psnr is True"),
    ({"psnr": None}, "psnr is None"),
    ({"psnr": float("nan")}, "psnr is nan"),
    ({"ssim": 95.5}, "ssim is 95.5"),
    ({"ssim": -0.1}, "ssim is -0.1"),
    ({"row": "\\input{x}"}, "row is"),
    ({"variant": "MPRNet"}, "variant is 'MPRNet'"),
    ({"data_digest": "D" * 64}, "data_digest is"),
    ({"evidence": "../../etc/passwd"}, "leads out of its folder"),
    ({"evidence": "/etc/passwd"}, "is absolute"),
    ({"evidence": ""}, "names no file"),
    ({"evidence": "a\x00b"}, "control character"),
    ({"note": "measured by hand"}, "note is 'measured by hand'"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=str)
def test_an_invalid_field_of_a_record_is_reported(tmp_path, changes, message):
    path = tmp_path / "dnd-DGUNet.json"
    path.write_text(json.dumps(score(**changes)))
    with pytest.raises(EvaluationError, match=r"dnd-DGUNet\.json") as caught:
        read_scores(tmp_path)
    assert message in str(caught.value)
    with pytest.raises(ConfigError, match=r"dnd_records, number 1") as caught:
        write_records(json.dumps([score(**changes)]), tmp_path / "laid out")
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff", b'{"row": 1, "row": 1}'])
def test_an_invalid_record_is_reported(tmp_path, content):
    (tmp_path / "dnd-DGUNet.json").write_bytes(content)
    with pytest.raises(EvaluationError, match=r"dnd-DGUNet\.json"):
        read_scores(tmp_path)


def test_a_missing_field_of_a_record_is_reported(tmp_path):
    content = score()
    del content["bundle_sha256"]
    (tmp_path / "dnd-DGUNet.json").write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match="bundle_sha256: Field required"):
        read_scores(tmp_path)


def test_two_records_of_the_same_results_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"dnd-{name}.json").write_text(json.dumps(score()))
    with pytest.raises(EvaluationError, match=r"dnd-b\.json and .*dnd-a\.json are scores of the"):
        read_scores(tmp_path)


def test_changed_evidence_is_found_where_it_exists(tmp_path):
    mail = tmp_path / "dnd-DGUNet.evidence.eml"
    mail.write_text("39.50 dB")
    path = tmp_path / "dnd-DGUNet.json"
    path.write_text(json.dumps(score(evidence_sha256=sha256_file(mail))))
    assert read_scores(tmp_path)[0].psnr == 39.5
    mail.write_text("49.50 dB")
    with pytest.raises(EvaluationError, match="evidence_sha256 does not match"):
        read_scores(tmp_path)
    mail.unlink()
    assert len(read_scores(tmp_path)) == 1, (
        "a pipeline step receives only the records, without evidence"
    )


def test_records_pass_through_a_pipeline_unchanged(tmp_path):
    for name, sha in (("a", digest(8)), ("b", digest(9))):
        (tmp_path / f"dnd-{name}.json").write_text(json.dumps(score(per_image_sha256=sha)))
    text = read_records(tmp_path)
    assert json.loads(text) == [score(per_image_sha256=digest(n)) for n in (8, 9)]
    assert read_records(write_records(text, tmp_path / "step")) == text
    assert write_records("[]", tmp_path / "none") == tmp_path / "none"


@pytest.mark.parametrize("text", ["{", "3", "[1]", '{"a": 1}', "[" * 100_000, "\x00"])
def test_a_parameter_that_is_no_list_of_records_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="dnd_records"):
        write_records(text, tmp_path)


def test_results_are_gathered_completely_or_not_at_all(tmp_path):
    for name, dataset, ratio in (("a", "Rain100L", None), ("b/r10", "Set11", 10)):
        write_result(tmp_path / "in" / name, dataset, ratio=ratio)
        (tmp_path / "in" / name / "restored").mkdir()
    out = tmp_path / "out"
    assert gather_results([tmp_path / "in"], out) == ["Rain100L-DGUNet", "Set11-DGUNet-r10"]
    assert {p.name for p in out.rglob("*.*")} == {"summary.json", "per_image.parquet"}
    before = {p: p.read_bytes() for p in out.rglob("*.*")}
    path = tmp_path / "in/a/summary.json"
    for changes in ({"psnr": 99.0}, {"dataset": "../../x"}, {"row": "../x", "variant": "DGUNet"}):
        whole = path.read_bytes()
        edit(path, **changes)
        with pytest.raises(EvaluationError, match=rf"a/summary\.json: {next(iter(changes))} is"):
            gather_results([tmp_path / "in"], out)
        path.write_bytes(whole)
    assert {p: p.read_bytes() for p in out.rglob("*.*")} == before
    with pytest.raises(DataError, match="there are two results"):
        gather_results([tmp_path / "in", tmp_path / "in"], out)


def test_a_submission_page_needs_intact_results(tmp_path):
    summary = write_result(tmp_path, "DND")
    assert summary["per_image_sha256"] in submission_page(tmp_path)
    (tmp_path / "per_image.parquet").write_bytes(b"")
    with pytest.raises(DgunetError, match="per_image_sha256"):
        submission_page(tmp_path)


def test_leftovers_of_a_killed_table_writer_are_removed_by_the_next(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    mine = partial_name("table2", suffix=".csv")
    leftover = tmp_path / mine.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    leftover.touch()
    active = tmp_path / mine
    active.touch()
    write_tables(build_tables([], profile="sample"), tmp_path)
    assert not leftover.exists()
    assert active.exists(), "its process is still running"
