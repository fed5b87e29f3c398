"""A log reports every damaged line and returns all others."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgunet.system.line_files import append_line, format_line, open_log, parse_line, read_lines

ENTRIES = [
    {"kind": "metrics", "values": {"psnr": 31.5, "x": float("inf")}},
    {"a": "ä\n"},
    {"b": []},
]


@pytest.fixture
def log(tmp_path):
    """A log of `ENTRIES`."""
    path = tmp_path / "log.jsonl"
    with open_log(path) as handle:
        for entry in ENTRIES:
            append_line(handle, entry)
    return path


def test_lines_are_read_as_written(log):
    content = read_lines(log)
    assert content.entries == ENTRIES
    assert not content.damaged
    assert not content.torn
    assert read_lines(log.with_name("absent")).entries == []


def test_a_line_is_json_that_ends_with_its_checksum(log):
    for line in log.read_text().splitlines():
        assert list(json.loads(line))[-1] == "sum"


def test_a_torn_line_is_reported_and_the_next_writer_appends_after_it(log):
    with log.open("ab") as handle:
        handle.write(b'{"kind": "met')
    content = read_lines(log)
    assert content.torn
    assert content.entries == ENTRIES
    with open_log(log) as handle:
        append_line(handle, {"c": 1})
    content = read_lines(log)
    assert content.entries == [*ENTRIES, {"c": 1}]
    assert content.damaged == [(4, "it has no checksum")]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"31.5", b"99.9"), (b"psnr", b"PSNR"), (b'"sum"', b'"SUM"'), (b"\n", b""), (b"{", b"\0")],
)
def test_a_changed_line_is_reported_and_the_others_are_read(log, old, new):
    content = log.read_bytes()
    assert old in content
    log.write_bytes(content.replace(old, new, 1))
    content = read_lines(log)
    assert content.damaged[0][0] == 1
    assert content.entries[-1] == ENTRIES[-1]


@given(st.data())
def test_a_changed_byte_is_always_detected(data):
    line = bytearray(format_line({"index": 3, "psnr": 31.25, "id": "a"})[:-1])
    position = data.draw(st.integers(0, len(line) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != line[position]))
    line[position] = value
    with pytest.raises(ValueError, match=r"."):
        parse_line(bytes(line))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_a_value_error(line):
    for unchecked in (False, True):
        with suppress(ValueError):
            assert isinstance(parse_line(line, unchecked=unchecked), dict)


def test_a_line_without_a_checksum_is_read_only_if_allowed():
    assert parse_line(b'{"a": 1}', unchecked=True) == {"a": 1}
    with pytest.raises(ValueError, match="no checksum"):
        parse_line(b'{"a": 1}')


@pytest.mark.parametrize("entry", [{}, {"sum": 1}])
def test_an_entry_needs_a_key_other_than_the_checksum(entry):
    with pytest.raises(ValueError, match="sum"):
        format_line(entry)
