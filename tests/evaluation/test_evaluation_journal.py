"""Resuming a killed evaluation: intact rows are reused, all others are scored again."""

import json

import pytest
from evaluation_stand_ins import Smooth, evaluate_store, score_rows, work_of

from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.row_journal import RowJournal
from dgunet.evaluation.rows import Row, Timing, parse_row
from dgunet.system.line_files import format_line, parse_line

RAIN = protocol("rain-y")
KNOWN = {"checkpoint_sha256": "c" * 64, "keep_images": 1}


@pytest.fixture
def killed(rain_store, tmp_path):
    """The journal of an evaluation that scored five images and was killed before merging."""
    settings = Settings(row="DGUNet", **KNOWN)
    score_rows(Smooth(), rain_store, RAIN, tmp_path / "killed", settings)
    return work_of(rain_store, RAIN, tmp_path / "killed", settings) / "0-of-1.jsonl"


@pytest.fixture
def resume(rain_store, tmp_path):
    """Resume the evaluation; gives the ids of the scored images and the notes."""

    def run():
        seen, notes = [], []
        evaluate_store(
            Smooth(),
            rain_store,
            RAIN,
            tmp_path / "killed",
            on_row=lambda row, done, total: seen.append(row.id),
            note=notes.append,
            **KNOWN,
        )
        evaluate_store(Smooth(), rain_store, RAIN, tmp_path / "whole", **KNOWN)
        for name in ("per_image.parquet", "summary.json", "restored/1.png"):
            whole = (tmp_path / "whole" / name).read_bytes()
            assert (tmp_path / "killed" / name).read_bytes() == whole, name
        return seen, notes

    return run


def replace_line(path, number, change):
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = change(lines[number - 1])
    path.write_bytes(b"\n".join(lines))


def change_fields(**changes):
    """A function that changes fields of a line and updates its checksum."""

    def change(line):
        entry = parse_line(line)
        row = entry["row"] | {k: v for k, v in changes.items() if k not in ("index", "timing")}
        changed = (
            entry | {"row": row} | {k: changes[k] for k in ("index", "timing") if k in changes}
        )
        return format_line(changed)[:-1]

    return change


def test_intact_rows_are_not_scored_again(killed, resume):
    assert resume() == ([], [])


def test_an_edited_psnr_is_scored_again_and_reported(killed, resume):
    def edit(line):
        psnr = json.loads(line)["row"]["psnr"]
        return line.replace(repr(psnr).encode(), b"77.48")

    replace_line(killed, 3, edit)
    seen, notes = resume()
    assert seen == ["2"]
    assert notes == [f"{killed}, line 3: its checksum is wrong; its image is scored again."]


@pytest.mark.parametrize(
    "line",
    [b"", b"\x00" * 40, b"\xff\xfe", b"{", b"[]", b"null", b'{"index": 1}', b"[" * 100_000],
    ids=["blank", "NULs", "no UTF-8", "half", "list", "null", "no sum", "deep"],
)
def test_a_damaged_line_causes_one_image_to_be_scored_again(killed, resume, line):
    replace_line(killed, 3, lambda old: line)
    seen, notes = resume()
    assert seen == ["2"]
    assert len(notes) == 1 and f"{killed}, line 3" in notes[0]


def test_a_torn_last_line_is_scored_again_without_a_report(killed, resume):
    killed.write_bytes(killed.read_bytes()[:-9])
    assert resume() == (["5"], [])


@pytest.mark.parametrize("line", [b"", b"{}", b'{"key": "x"}', b"\xff"])
def test_a_damaged_header_causes_all_its_images_to_be_scored_again(killed, resume, line):
    replace_line(killed, 1, lambda old: line)
    seen, notes = resume()
    assert seen == ["1", "2", "3", "4", "5"]
    assert len(notes) == 1 and "line 1" in notes[0] and "all its images" in notes[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"index": "1"},
        {"index": True},
        {"index": -1},
        {"index": 1.0},
        {"index": 99},
        {"index": 10**30},
        {"index": 3},
        {"id": "4"},
        {"id": 2},
        {"psnr": float("nan")},
        {"psnr": 777.0},
        {"psnr": "30"},
        {"ssim": 1.5},
        {"protocol": "gopro-rgb"},
        {"protocol_version": True},
        {"height": 0},
        {"restored_sha256": "x"},
        {"strips": 2.5},
        {"more": 1},
        {"timing": None},
        {"timing": {"id": "2", "read": "a", "restore": 0.0, "score": 0.0}},
    ],
    ids=str,
)
def test_an_invalid_line_with_a_matching_checksum_is_not_used(killed, resume, changes):
    replace_line(killed, 3, change_fields(**changes))
    seen, _ = resume()
    assert "2" in seen and len(seen) <= 2


def test_a_missing_kept_image_is_made_again(killed, resume):
    (killed.parent / "restored" / "1.png").unlink()
    assert resume()[0] == ["1"]


@pytest.mark.parametrize("name", ["0-of-1.jsonl", "1-of-2.jsonl"])
def test_a_folder_with_the_name_of_a_journal_is_reported(killed, resume, name):
    (killed.parent / name).unlink(missing_ok=True)
    (killed.parent / name).mkdir()
    seen, notes = resume()
    assert len(seen) == (5 if name == killed.name else 0)
    assert "is not a regular file" in notes[0]


def test_a_row_survives_its_journal_exactly(tmp_path):
    row = Row("a/\u00e9", float("inf"), 1.0, -0.1, None, "rain-y", 1, 3, 4, "0" * 64, 16)
    entry = (7, row, Timing("a/\u00e9", 0.1, 2e-17, 1e300))
    journal = RowJournal(tmp_path, "k", "0-of-1")
    with journal.appending() as handle:
        journal.append(handle, entry)
    assert journal.entries() == {7: entry}
    with pytest.raises(ValueError, match=r"ssim is 2\.0"):
        parse_row(vars(row) | {"ssim": 2.0})
