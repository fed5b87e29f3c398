"""Reading of untrusted files is bounded, and errors are one line with the file name."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgunet.system import reading
from dgunet.system.errors import ConfigError, DataError, DgunetError


def test_a_text_is_read_with_and_without_a_byte_order_mark(tmp_path):
    for content in (b"a: \xc3\xa4\n", b"\xef\xbb\xbfa: \xc3\xa4\n"):
        (tmp_path / "x").write_bytes(content)
        assert reading.read_text(tmp_path / "x") == "a: ä\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\ntwo \xff\n", r"x, line 2: byte 0xff is not UTF-8"),
        (b"one\n\0", r"x, line 2: it contains a NUL byte"),
        (b"12345678901", r"x is larger than 10 bytes"),
    ],
)
def test_files_that_are_no_text_are_reported(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        reading.read_text(tmp_path / "x", limit=10, kind=ConfigError)


def test_pipes_folders_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(DataError, match=r"is not a regular file|cannot be read"):
            reading.read_bytes(path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="cannot be read"):
        reading.read_bytes(tmp_path / "loop")


def test_a_missing_file_raises_file_not_found(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent", tmp_path / "file" / "below"):
        with pytest.raises(FileNotFoundError):
            reading.read_bytes(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"a": ', "is not JSON"),
        ("9" * 5000, "is not JSON"),
        ("", "is not JSON"),
    ],
)
def test_invalid_json_is_reported(text, message):
    with pytest.raises(DataError, match=message):
        reading.parse_json(text, "x.json")


@pytest.mark.parametrize("text", ["[1]", "null", '"text"', "3"])
def test_json_that_is_no_object_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x.json contains .*, not an object"):
        reading.read_mapping(tmp_path / "x.json")


def test_yaml_scalars_follow_version_1_2():
    text = "a: yes\nb: 0123\nc: 12:34\nd: 1e-4\ne: 1.0\nf: -5\ng: null\nh: 2026-01-01\ni: true\n"
    text += "j: .inf\nk: 1_000\nl: on\nm: 0x1F\nn: '5'\n"
    assert reading.parse_yaml(text, "x") == {
        "a": "yes",
        "b": "0123",
        "c": "12:34",
        "d": 1e-4,
        "e": 1.0,
        "f": -5,
        "g": None,
        "h": "2026-01-01",
        "i": True,
        "j": float("inf"),
        "k": "1_000",
        "l": "on",
        "m": "0x1F",
        "n": "5",
    }
    assert reading.parse_yaml("", "x") is None


def doubling(levels):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for level in range(1, levels):
        alias = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{alias}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", "line 4: the key 'c' occurs twice"),
        ("a: &x [*x]", "an alias refers to a value that contains it"),
        ("[" * 10_000, "is nested too deeply"),
        ("- " * 10_000, "is nested too deeply"),
        (doubling(9), "its aliases expand to more than 200,000 values"),
        ("[" + "1," * 500_000 + "]", "contains too many values"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("a: [", "is not YAML"),
        ("{[1]: 2}", "is not YAML"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("a: \x01", "is not YAML"),
    ],
)
def test_invalid_yaml_is_reported_in_bounded_time(text, message):
    with pytest.raises(ConfigError, match=message):
        reading.parse_yaml(text, "x.yaml", kind=ConfigError)


def test_aliases_and_merge_keys_are_read():
    text = "base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\n"
    assert reading.parse_yaml(text, "x") == {"base": {"x": 1, "y": 2}, "mine": {"x": 1, "y": 3}}


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content):
    for parse in (reading.parse_json, reading.parse_yaml):
        try:
            parse(reading.decode(content, "x"), "x")
        except DgunetError as error:
            assert "\n" not in str(error)


@given(st.text(alphabet="{}[]:,-&*a!1\n\"'# ?|>", max_size=120))
def test_any_structure_is_read_or_refused(text):
    try:
        reading.parse_yaml(text, "x")
    except DgunetError as error:
        assert "\n" not in str(error)
