"""Edited results are refused with file and field; intact ones are read unchanged."""

import dataclasses
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_results import edit, made_rows, reseal, write_result

from dgunet.evaluation.results import find_results, read_result, read_result_and_rows
from dgunet.evaluation.rows import write_rows
from dgunet.system.errors import DgunetError, EvaluationError
from dgunet.system.files import sha256_file


@pytest.fixture
def result(tmp_path):
    """A complete evaluation with the paper profile."""
    write_result(tmp_path / "Set11", "Set11", ratio=10, profile="paper")
    return tmp_path / "Set11"


@pytest.mark.parametrize(
    ("dataset", "more"),
    [
        ("Rain100L", {}),
        ("Rain100H", {"row": "stages-9"}),
        ("DND", {}),
        ("DND", {"profile": "paper"}),
        ("Set11", {"ratio": 50, "profile": "paper"}),
        ("GoPro", {"selection": "test-set HIDE", "checkpoint_sha256": ""}),
    ],
)
def test_a_written_result_is_read_unchanged(tmp_path, dataset, more):
    written = write_result(tmp_path, dataset, **more)
    summary, rows = read_result_and_rows(tmp_path)
    assert summary.to_dict() == written
    assert len(rows) == written["images"]


def test_an_infinite_mean_is_read_as_none(tmp_path):
    rows = made_rows("Rain100L", 2)
    rows[0] = dataclasses.replace(rows[0], psnr=math.inf)
    write_result(tmp_path, "Rain100L", rows=rows, psnr=None)
    assert read_result(tmp_path).psnr is None
    assert read_result(tmp_path).identical == 1, "also in results that do not state it"
    edit(tmp_path / "summary.json", identical=2)
    with pytest.raises(EvaluationError, match=r"identical is 2; of the rows of .* 1 have"):
        read_result(tmp_path)
    edit(tmp_path / "summary.json", identical=1)
    edit(tmp_path / "summary.json", psnr=99.0)
    with pytest.raises(EvaluationError, match="psnr is 99"):
        read_result(tmp_path)


def next_float(value):
    """The next larger floating-point number."""
    return math.nextafter(value, math.inf)


EDITS = {
    "psnr": [99.0, 99, None, "31", True, [], float("nan"), 1e300, next_float],
    "ssim": [0.99, None, 7.0, next_float],
    "input_psnr": [1.0, None, next_float],
    "input_ssim": [0.1, None, next_float],
    "images": [100, 10, 0, -1, 11.0, True, "11"],
    "published_images": [12, 1, None],
    "complete": [False, 1, "true", None],
    "state": ["partial", "waiting for the server", "sample", "", 1],
    "profile": ["sample", "real", "\\input{x}", None],
    "dataset": ["BSD68", "Set12", "../Set11", "Rain100L", "", None],
    "task": ["derain", "", None],
    "variant": ["DGUNet++", None],
    "row": ["DGUNet+", "\\LaTeX", "a b", "../x", "", "x" * 70, None],
    "ratio": [None, 0, 101, "10", 10.0],
    "protocol": ["rain-y", "psnr", "\\x", None],
    "protocol_version": [2, 0, "1", True],
    "selection": ["\\textbf{x}", "test-set", "test-set Nothing", "best", "", None, "last "],
    "weights": ["mine", "", None, 1],
    "training_digest": ["0" * 64, "d", None],
    "parity": ["true", 1, None],
    "data_digest": ["d", "D" * 64, "", None],
    "checkpoint_sha256": ["c", "g" * 64, None],
    "per_image_sha256": ["0" * 64, "", None],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in EDITS.items() for value in values]
)
def test_an_edited_field_is_reported(result, field, value):
    path = result / "summary.json"
    if callable(value):
        value = value(json.loads(path.read_text())[field])
    edit(path, **{field: value})
    with pytest.raises(EvaluationError) as caught:
        read_result(result)
    assert str(path) in str(caught.value)
    alternatives = {
        "profile": ["complete"],
        "dataset": ["task", "published_images"],
        "complete": ["state"],
    }
    assert any(f"{name} is " in str(caught.value) for name in (field, *alternatives.get(field, ())))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", EDITS)
def test_a_missing_or_unknown_field_is_reported(result, field):
    path = result / "summary.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in content.items() if k != field}))
    with pytest.raises(EvaluationError, match=f"{field}: Field required"):
        read_result(result)
    path.write_text(json.dumps(content | {f"{field}2": 1}))
    with pytest.raises(EvaluationError, match=f"{field}2 is 1"):
        read_result(result)


def test_a_sample_is_never_complete(tmp_path):
    rows = made_rows("Set11", 11)
    write_result(
        tmp_path, "Set11", ratio=10, rows=rows, complete=True, state="measured", parity=True
    )
    with pytest.raises(
        EvaluationError, match=r"complete is True; .* profile sample it must be False"
    ):
        read_result(tmp_path)


@pytest.mark.parametrize("tile", [None, 64])
def test_an_old_result_is_read_and_has_no_parity_with_tiles(tmp_path, tile):
    """Tables were written with a column of tiles before images were restored in strips."""
    write_result(tmp_path, "Rain100L", rows=made_rows("Rain100L", 3), parity=True)
    path = tmp_path / "per_image.parquet"
    table = pq.read_table(path).drop_columns(["strips"])
    pq.write_table(table.append_column("tile", pa.array([None, tile, None], pa.int32())), path)
    seal(tmp_path)
    if tile is None:
        assert read_result(tmp_path).parity
    else:
        with pytest.raises(EvaluationError, match=r"parity is True; with tiles .* must be False"):
            read_result(tmp_path)


def test_a_result_in_strips_can_be_at_parity(tmp_path):
    rows = made_rows("Rain100L", 3)
    rows[1] = dataclasses.replace(rows[1], strips=7)
    write_result(tmp_path, "Rain100L", rows=rows, parity=True)
    assert read_result(tmp_path).parity


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"psnr": 3', "is not JSON"),
        (b"[]", "contains a list"),
        (b"null", "contains null"),
        (b'"x"', "contains a string"),
        (b'{"psnr": 1, "psnr": 2}', "'psnr' occurs twice"),
        (b'{"a": "\xff"}', "line 1: byte 0xff is not UTF-8"),
        (b"\x00", "NUL"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * (2 << 20), "larger than"),
    ],
    ids=["empty", "half", "list", "null", "text", "twice", "no UTF-8", "NUL", "deep", "large"],
)
def test_a_damaged_summary_gives_a_one_line_error(result, content, message):
    (result / "summary.json").write_bytes(content)
    with pytest.raises(EvaluationError, match=message) as caught:
        read_result(result)
    assert str(result / "summary.json") in str(caught.value)


def test_a_missing_truncated_or_edited_table_is_reported(result):
    table = result / "per_image.parquet"
    whole = table.read_bytes()
    for content in (whole[:-1], b"", b"garbage", whole[:200] + b"?" + whole[201:]):
        table.write_bytes(content)
        with pytest.raises(EvaluationError, match=r"per_image_sha256 is \w+; .*parquet has"):
            read_result(result)
    table.unlink()
    with pytest.raises(EvaluationError, match=r"per_image\.parquet is missing"):
        read_result(result)
    table.mkdir()
    with pytest.raises(EvaluationError, match="is not a regular file"):
        read_result(result)


def seal(folder):
    """Update the digest of the table in the summary, and the seal."""
    edit(folder / "summary.json", per_image_sha256=sha256_file(folder / "per_image.parquet"))
    reseal(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"psnr": 99.0}, "psnr is"),
        ({"psnr": float("nan")}, "row 3: psnr is nan"),
        ({"psnr": 1000.0}, "row 3: psnr is 1000"),
        ({"psnr": None}, "psnr is"),
        ({"ssim": -2.0}, "row 3: ssim is"),
        ({"id": "1"}, "the image '1' occurs twice"),
        ({"id": ""}, "row 3: id is ''"),
        ({"id": "a\nb"}, "row 3: id is"),
        ({"protocol": "rain-y"}, "protocol is 'cs-y'"),
        ({"protocol_version": 2}, "protocol_version is 1"),
        ({"restored_sha256": "0"}, "row 3: restored_sha256 is"),
        ({"height": 0}, "row 3: height is 0"),
        ({"strips": 0}, "row 3: strips is 0"),
    ],
)
def test_an_edited_row_with_an_updated_digest_is_reported(tmp_path, changes, message):
    rows = made_rows("Set11", 11)
    write_result(tmp_path, "Set11", ratio=10, profile="paper", rows=rows)
    rows[2] = dataclasses.replace(rows[2], **changes)
    write_rows(tmp_path / "per_image.parquet", rows)
    seal(tmp_path)
    with pytest.raises(EvaluationError, match=message):
        read_result(tmp_path)


@pytest.mark.parametrize(
    "defect", ["other columns", "a text for a number", "no Parquet", "no rows"]
)
def test_an_invalid_table_with_an_updated_digest_is_reported(result, defect):
    table = result / "per_image.parquet"
    known = pq.read_table(table)
    if defect == "no Parquet":
        table.write_bytes(b"PAR1" + b"x" * 100 + b"PAR1")
    else:
        made = {
            "other columns": known.drop_columns(["strips"]),
            "a text for a number": known.set_column(1, "psnr", pa.array(["9"] * len(known))),
            "no rows": known.slice(0, 0),
        }[defect]
        pq.write_table(made, table)
    seal(result)
    with pytest.raises(EvaluationError, match=r"is damaged|images is 11"):
        read_result(result)


def test_a_table_without_its_summary_is_reported(tmp_path):
    for name in ("a", "b/r10"):
        write_result(tmp_path / name, "Rain100L")
    assert find_results(tmp_path) == [tmp_path / "a", tmp_path / "b/r10"]
    assert find_results(tmp_path / "a") == [tmp_path / "a"]
    assert find_results(tmp_path / "nothing") == []
    (tmp_path / "a" / "summary.json").unlink()
    with pytest.raises(EvaluationError, match=r"a/summary\.json is missing"):
        find_results(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    changes=st.dictionaries(st.sampled_from(sorted(EDITS)) | st.text(), JSON, min_size=1),
    content=st.none() | st.binary(max_size=200),
)
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_changed_summaries_raise_only_dgunet_errors(result, changes, content):
    path = result / "summary.json"
    whole = path.read_bytes()
    try:
        path.write_bytes(content) if content is not None else edit(path, **changes)
        read_result(result)
    except DgunetError:
        pass
    finally:
        path.write_bytes(whole)


@given(data=st.data())
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_changed_tables_raise_only_dgunet_errors(result, data):
    table, summary = result / "per_image.parquet", result / "summary.json"
    kept = table.read_bytes(), summary.read_bytes()
    content = bytearray(kept[0])
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    try:
        table.write_bytes(content)
        seal(result)
        read_result(result)
    except DgunetError:
        pass
    finally:
        table.write_bytes(kept[0])
        summary.write_bytes(kept[1])
