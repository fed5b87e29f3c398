"""Croissant descriptions: valid for the official validator, true to files and catalogue."""

import json

import mlcroissant
import pytest
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
from dgunet.data.store.manifest import StoreManifest
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.records import schema
from dgunet.system.errors import DataError
from dgunet.system.files import sha256_file
from dgunet.tools import croissant


@pytest.fixture(scope="module")
def real(sample_root, tmp_path_factory):
    """The sample's Rain100L, prepared as if it were the dataset itself, in several files."""
    folder = tmp_path_factory.mktemp("real") / "Rain100L"
    prepare_dataset("Rain100L", sample_root, folder, profile="paper", workers=1, shard_bytes=40_000)
    return folder


def validated(content):
    """What the official validator makes of a description; it must find nothing wrong."""
    made = mlcroissant.Dataset(jsonld=json.loads(croissant.as_text(content)))
    issues = made.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert made.metadata.conforms_to == ["http://mlcommons.org/croissant/1.1"]
    return made


def inline(made, name):
    return [
        {key.partition("/")[2]: value for key, value in record.items()}
        for record in made.records(name)
    ]


@pytest.mark.parametrize("name", ["Rain100L", "Set11", "DND"])
def test_a_prepared_set_of_the_sample_is_valid(prepared, name):
    validated(croissant.store_metadata(prepared(name)))


def test_the_validator_refuses_what_is_wrong(prepared):
    content = croissant.store_metadata(prepared("Set11"))
    del content["distribution"][0]["sha256"]
    with pytest.raises(mlcroissant.ValidationError, match="sha256"):
        validated(content)


def test_every_file_of_a_prepared_set_has_its_size_and_hash(real):
    content = croissant.store_metadata(real)
    made = validated(content)
    entries = [each for each in content["distribution"] if each["@type"] == "cr:FileObject"]
    listed = {
        each["contentUrl"]: (each["sha256"], each["contentSize"], each["encodingFormat"])
        for each in entries
    }
    arrow = "application/vnd.apache.arrow.file"
    wanted = {
        path.name: (
            sha256_file(path),
            f"{path.stat().st_size} B",
            arrow if path.suffix == ".arrow" else "application/json",
        )
        for path in real.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert listed == wanted
    assert len(wanted) > 2
    assert {each.uuid for each in made.metadata.file_objects} == set(wanted)


def test_the_fields_are_the_columns_of_the_files(real):
    (pairs, _) = croissant.store_metadata(real)["recordSet"]
    columns = [each["source"]["extract"]["column"] for each in pairs["field"]]
    assert columns == schema("raw").names == schema("compact").names


def test_the_manifest_is_told_as_a_record(real):
    manifest = StoreManifest.read(real)
    (told,) = inline(validated(croissant.store_metadata(real)), "preparation")
    assert told == {
        "profile": "paper",
        "protocol": "rain-y/1",
        "recipe": "whole",
        "layout": "raw",
        "records": 3,
        "published_records": 100,
        "complete": False,
        "doubts": "; ".join(manifest.doubts),
        "data_sha256": manifest.digest,
        "value_range": "uint8: 0 to 255; float32: 0 to 1",
    }


def test_the_catalogue_is_told_and_an_incomplete_release_is_called_so(real):
    content = croissant.store_metadata(real)
    info = CATALOGUE["Rain100L"]
    assert content["name"] == "Rain100L"
    assert content["license"] == {"@type": "sc:CreativeWork", "name": info.licence}
    assert content["license"]["name"].startswith("not stated with the archive")
    assert (content["citeAs"], content["url"]) == (info.citation, info.url)
    assert content["datePublished"] == "2017"
    assert content["creator"] == [{"@type": "sc:Organization", "name": "W. Yang et al."}]
    assert "It is not the complete published release" in content["description"]


@pytest.mark.parametrize("info", [*CATALOGUE.values(), *FURTHER.values()], ids=lambda i: i.name)
def test_licence_year_and_authors_of_every_dataset(info):
    told = croissant.published_facts(info)
    licences = told["license"] if isinstance(told["license"], list) else [told["license"]]
    known = {"CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/"}
    known["MIT"] = "https://spdx.org/licenses/MIT.html"
    addresses = [url for name, url in known.items() if info.licence.startswith(name)]
    assert licences == [*addresses, {"@type": "sc:CreativeWork", "name": info.licence}]
    assert 1990 < int(told["datePublished"]) < 2023
    assert told["creator"]
    authors = ", ".join(each["name"] for each in told["creator"])
    assert info.citation.startswith(f"{authors}, ")


def test_the_sample_is_not_taken_for_the_dataset(prepared):
    content = croissant.store_metadata(prepared("Rain100L"))
    assert content["name"] == "Rain100L-sample"
    assert "They are not Rain100L." in content["description"]
    assert content["license"] == [
        "https://creativecommons.org/publicdomain/zero/1.0/",
        "https://creativecommons.org/publicdomain/mark/1.0/",
    ]
    assert CATALOGUE["Rain100L"].citation not in croissant.as_text(content)
    assert "; Stefan van der Walt; " in content["creditText"]


def test_the_documented_description_of_the_sample_is_current_and_valid(project, sample_root):
    content = croissant.sample_metadata(sample_root)
    text = (project / "docs" / "sample-data.croissant.json").read_text(encoding="utf-8")
    assert text == croissant.as_text(content), "write it: `dgunet data croissant sample --out ...`"
    files = {path for path in sample_root.rglob("*") if path.is_file()}
    assert len(content["distribution"]) == len(files)
    pairs = inline(validated(content), "pairs")
    assert {pair["id"].partition("/")[0] for pair in pairs} == set(CATALOGUE)
    (odd,) = (pair for pair in pairs if (pair["height"], pair["width"]) == (91, 107))
    assert (odd["id"], odd["channels"], odd["dtype"]) == ("Test100/2", 3, "uint8")
    assert (sample_root / odd["input_file"]).is_file()


def test_the_command_writes_it_and_names_no_folder(prepared, tmp_path):
    out = tmp_path / "it.json"
    result = CliRunner().invoke(data, ["croissant", str(prepared("Set11")), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text()) == croissant.store_metadata(prepared("Set11"))
    assert str(prepared("Set11").parent) not in out.read_text()


def test_an_edited_manifest_is_refused(real, tmp_path):
    folder = tmp_path / "edited"
    folder.mkdir()
    for path in real.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"count": 3', '"count": 4'))
    with pytest.raises(DataError, match=r"manifest\.json"):
        croissant.store_metadata(folder)
