"""Damaged and forged stores are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_stores import write_store
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.records import LoadedPair
from dgunet.system.errors import DataError


@pytest.fixture
def store_copy(prepared, tmp_path):
    return Path(shutil.copytree(prepared("Test100"), tmp_path / "store"))


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"not a prepared store.*dgunet data prepare"):
        PairStore.open(tmp_path)


def test_a_manifest_that_is_damaged_or_of_another_version_is_refused(store_copy):
    path = store_copy / "manifest.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"version": 99}))
    with pytest.raises(DataError, match="store version 99"):
        PairStore.open(store_copy)
    for damaged in (whole[:100], "[]", json.dumps({"version": 1, "shards": []})):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"manifest\.json is damaged"):
            PairStore.open(store_copy)


def test_a_manifest_with_a_wrong_record_count_is_refused(store_copy):
    path = store_copy / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"count": content["count"] + 1}))
    with pytest.raises(DataError, match=r"manifest\.json lists \d+ records, its files \d+"):
        PairStore.open(store_copy)


def test_a_missing_or_truncated_shard_is_refused(store_copy):
    path = store_copy / "pairs-00000.arrow"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"pairs-00000\.arrow has \d+ bytes, expected"):
        PairStore.open(store_copy)
    path.unlink()
    with pytest.raises(DataError, match=r"pairs-00000\.arrow is missing"):
        PairStore.open(store_copy)


def test_the_verify_command_reports_the_damage(store_copy):
    good = CliRunner().invoke(command(), ["data", "verify", str(store_copy)])
    assert good.exit_code == 0
    assert PairStore.open(store_copy).manifest.digest in good.output
    path = store_copy / "pairs-00000.arrow"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match="its SHA-256 differs"):
        CliRunner().invoke(command(), ["data", "verify", str(store_copy)], catch_exceptions=False)


@pytest.mark.parametrize("layout", ["raw", "compact"])
def test_pixels_that_do_not_match_the_digest_are_found_at_first_use(tmp_path, layout):
    """Replacing a shard and its hash does not change the digest of the pixels."""
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    one = [LoadedPair("a", image, image), LoadedPair("b", image, image)]
    other = [LoadedPair("a", image, image), LoadedPair("b", image, 255 - image)]
    write_store(tmp_path / "one", one, layout=layout)
    write_store(tmp_path / "other", other, layout=layout)
    PairStore.open(tmp_path / "one").verify()
    reported, wrong = (
        json.loads((tmp_path / n / "manifest.json").read_text()) for n in ("one", "other")
    )
    (tmp_path / "other" / "manifest.json").write_text(
        json.dumps(wrong | {"digest": reported["digest"]})
    )
    with pytest.raises(DataError, match=f"the digest {reported['digest']}, but the pixels have"):
        PairStore.open(tmp_path / "other")


@pytest.mark.parametrize("name", ["../../x.arrow", "/tmp/x.arrow", "a/x.arrow", ".x", "a\\b", ""])
def test_a_shard_name_that_leads_outside_the_store_is_refused(name, store_copy):
    path = store_copy / "manifest.json"
    content = json.loads(path.read_text())
    content["shards"][0]["file"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"manifest\.json names .*, which"):
        PairStore.open(store_copy)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a\nb", "x" * 300, ""])
def test_a_record_id_that_is_no_valid_file_name_is_refused(name, tmp_path):
    """The restored image or box is written to a file of that name."""
    write_store(tmp_path / "store", [LoadedPair(name, None, np.zeros((4, 4, 3), np.uint8))])
    with pytest.raises(DataError, match=r"store holds the record .*, which"):
        PairStore.open(tmp_path / "store")[0]


@pytest.mark.parametrize(
    "value",
    [[], {}, True, None, "3", 3.0, -1, 10**400],
    ids=["list", "object", "bool", "none", "text", "float", "negative", "huge"],
)
@pytest.mark.parametrize("name", ["count", "published_count", "records", "bytes"])
def test_a_manifest_field_of_a_wrong_type_is_refused(name, value, store_copy):
    path = store_copy / "manifest.json"
    content = json.loads(path.read_text())
    (content["shards"][0] if name in ("records", "bytes") else content)[name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as reported:
        PairStore.open(store_copy)
    assert "\n" not in str(reported.value)
    assert len(str(reported.value)) < 500
