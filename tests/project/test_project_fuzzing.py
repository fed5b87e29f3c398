"""Readers of damaged files fail only with the documented errors.

By default a few inputs are tried for every reader. ``DGUNET_FUZZ_EXAMPLES=2000 pytest
tests/project/test_project_fuzzing.py -s`` runs a campaign and prints the number of inputs.
"""

import contextlib
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from fuzz_readers import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import VALUES, damaged

from dgunet.config import parse_params
from dgunet.system.address import redact
from dgunet.system.errors import ConfigError, DataError, DgunetError
from dgunet.system.line_files import format_line, parse_line
from dgunet.system.reading import parse_json, parse_yaml, shorten
from dgunet.system.safe_paths import inside

sys.path.insert(0, str(Path(__file__).parents[1] / "network"))

EXAMPLES = int(os.environ.get("DGUNET_FUZZ_EXAMPLES", "0"))
SLOW = {"archives": 4, "images": 2, "scored blocks of SIDD": 4, "blocks of SIDD": 2}
"""Factors by which the number of inputs of slow readers is reduced."""

PATIENCE = timedelta(seconds=60)
"""Time limit of one input."""


def examples(default, cost=1):
    return settings(
        max_examples=max(EXAMPLES // cost, 1) if EXAMPLES else max(default // cost, 1),
        deadline=PATIENCE,
        database=None,
        derandomize=not EXAMPLES,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DGUNET_HOME", raising=False)


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_is_read_or_refused(name, tmp_path_factory, sample_root):
    target = TARGETS[name](tmp_path_factory.mktemp("fuzz"), sample_root)
    target.read(target.folder)  # valid files are read
    whole = {file: (target.folder / file).read_bytes() for file in target.files}
    tried, refused = 0, 0

    @examples(12, SLOW.get(name, 1))
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        nonlocal tried, refused
        tried += 1
        file = target.files[seed % len(target.files)]
        path = target.folder / file
        path.write_bytes(damaged(whole[file], seed, as_json=target.text or file.endswith(".json")))
        try:
            target.read(target.folder)
        except DgunetError as error:
            refused += 1
            assert str(error).strip()
        except target.allowed:
            refused += 1
        finally:
            path.write_bytes(whole[file])

    check()
    print(f"\n{name}: {tried} inputs, {refused} refused")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(VALUES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@examples(40)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode(errors="ignore")))
def test_any_text_is_read_or_refused(content):
    text = content.decode(errors="replace")
    for parse in (parse_json, parse_yaml):
        try:
            shorten(parse(text, "x", kind=ConfigError))
        except ConfigError as error:
            assert str(error).startswith("x")
    assert isinstance(redact(text), str)
    with contextlib.suppress(ValueError):
        parse_line(content)


@examples(40)
@given(st.dictionaries(st.text(min_size=1).filter(lambda k: k != "sum"), JSON, min_size=1))
def test_any_entry_survives_a_round_trip_and_changes_are_detected(entry):
    line = format_line(entry)[:-1]
    assert json.dumps(parse_line(line)) == json.dumps(entry)
    for position in range(0, len(line), max(1, len(line) // 5)):
        changed = line[:position] + bytes([line[position] ^ 1]) + line[position + 1 :]
        with pytest.raises(ValueError):
            parse_line(changed)


@examples(60)
@given(st.text(st.sampled_from("./\\a:~C\0\n\u202eé "), max_size=12) | st.text(max_size=300))
def test_a_file_name_in_data_never_leaves_its_folder(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "root"
    try:
        assert inside(root, name, origin="x").resolve().is_relative_to(root.resolve())
    except DataError as error:
        assert "x names" in str(error)


TEXT = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")


@examples(30)
@given(
    st.sampled_from([line for line in TEXT.splitlines() if ": " in line and "#" not in line]),
    JSON,
)
def test_any_value_of_a_setting_is_accepted_or_refused(line, value):
    """A valid value is replaced by values of every kind."""
    key = line.partition(": ")[0]
    changed = TEXT.replace(line, f"{key}: {json.dumps(value)}")
    try:
        parse_params(changed, "params.yaml")
    except ConfigError as error:
        assert len(str(error)) < 3000
