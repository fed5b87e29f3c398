"""What a bundle says of data and packages: Croissant descriptions, a bill of materials."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import mlcroissant
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from dvc.repo import Repo
from made_results import made_rows, write_result

from dgunet.data.store.prepare import prepare_dataset
from dgunet.project import ProjectFolders
from dgunet.system.files import sha256_file
from dgunet.system.seals import write_seal
from dgunet.tools import croissant
from dgunet.tools.bundles import contents
from dgunet.tools.bundles.checking import check_bundle
from dgunet.tools.bundles.project_bundle import bundle_project

STAGES = tuple(
    f"{folder}{name}" for folder in ("", "pipelines/trained/") for name in ("dvc.yaml", "dvc.lock")
)
PINS = {"absl-py": "2.5.1", "rdflib": "7.6.0"}


@pytest.fixture(scope="module")
def made(project, sample_root, tmp_path_factory):
    """A clone with a prepared set, an evaluation of it and a lock file; and its bundle."""
    home = tmp_path_factory.mktemp("home")
    store = home / "build/prepared/Rain100L"
    manifest = prepare_dataset("Rain100L", sample_root, store, profile="sample", workers=1)
    results = home / "build/evaluation"
    rows = made_rows("Rain100L", manifest.count, ("DGUNet", None))
    write_result(results / "Rain100L-DGUNet", "Rain100L", rows=rows, data_digest=manifest.digest)
    write_result(results / "Test100-DGUNet", "Test100")
    for name in ("params.yaml", "pyproject.toml", *STAGES):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / name, home / name)
    lines = (f"{name}=={version} --hash=sha256:{64 * '0'}\n" for name, version in PINS.items())
    (home / "requirements.image.lock").write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_TRACKING", "off")
        bundle_project(ProjectFolders(home), home / "bundle", [results])
    return SimpleNamespace(home=home, store=store, results=results, folder=home / "bundle")


def sealed_hashes(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def entity(folder, name):
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    (found,) = (each for each in graph if each["@id"] == name)
    return found, {each["@id"] for each in graph}


def test_an_honest_bundle_is_accepted(made):
    verdict = check_bundle(made.folder)
    assert verdict.faults == []


def test_the_prepared_set_that_was_used_is_described(made):
    name = "prepared/Rain100L/croissant.json"
    content = json.loads((made.folder / name).read_text())
    assert content == croissant.store_metadata(made.store)
    assert not mlcroissant.Dataset(jsonld=content).metadata.ctx.issues.errors
    assert [path.name for path in (made.folder / "prepared").iterdir()] == ["Rain100L"]
    assert sealed_hashes(made.folder)[name] == sha256_file(made.folder / name)
    told, known = entity(made.folder, name)
    assert told["encodingFormat"] == "application/ld+json"
    assert told["conformsTo"] == {"@id": "http://mlcommons.org/croissant/1.1"}
    assert told["conformsTo"]["@id"] in known
    root, _ = entity(made.folder, "./")
    assert {"@id": name} in root["hasPart"]


def test_the_pipeline_is_the_workflow_of_the_description(made, project):
    root, _ = entity(made.folder, "./")
    name = root["mainEntity"]["@id"]
    workflow, _ = entity(made.folder, name)
    assert "ComputationalWorkflow" in workflow["@type"]
    assert workflow["encodingFormat"] == "application/yaml"
    assert (made.folder / name).read_bytes() == (project / "dvc.yaml").read_bytes()
    assert entity(made.folder, "#run")[0]["instrument"] == {"@id": name}


def test_a_bundle_inside_a_dvc_project_adds_no_stages(made, project, tmp_path):
    shutil.copytree(made.folder, tmp_path / "results")
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        assert list(repo.index.stages) == []
    copies = {path.read_bytes() for path in (tmp_path / "results/configuration").rglob("copy-of-*")}
    assert copies == {(project / name).read_bytes() for name in STAGES}


@pytest.mark.parametrize("gone", [False, True], ids=["edited", "removed"])
def test_a_forged_description_is_refused(made, tmp_path, gone):
    copy = shutil.copytree(made.folder, tmp_path / "copy")
    path = copy / "prepared/Rain100L/croissant.json"
    if gone:
        path.unlink()
    else:
        path.write_text(path.read_text().replace("publicdomain/zero/1.0", "licenses/by/4.0"))
    (copy / "SHA256SUMS").unlink()
    write_seal(copy)
    faults = " ".join(check_bundle(copy).faults)
    assert "prepared/Rain100L/croissant.json" in faults, faults


def test_the_bill_of_materials_is_valid_and_sealed(made):
    text = (made.folder / "sbom.cdx.json").read_text()
    bill = json.loads(text)
    version = SchemaVersion.from_version(bill["specVersion"])
    assert JsonStrictValidator(version).validate_str(text) is None
    assert {each["name"]: each["version"] for each in bill["components"]} == PINS
    assert bill["metadata"]["component"]["name"] == "dgunet"
    assert not (made.folder / "sbom.txt").exists()
    assert sealed_hashes(made.folder)["sbom.cdx.json"] == sha256_file(made.folder / "sbom.cdx.json")
    told, _ = entity(made.folder, "sbom.cdx.json")
    assert told["encodingFormat"] == "application/vnd.cyclonedx+json"


def test_the_bill_of_materials_is_the_same_each_time(made, tmp_path):
    contents.write_bill_of_materials(made.home, tmp_path)
    assert (tmp_path / "sbom.cdx.json").read_bytes() == (made.folder / "sbom.cdx.json").read_bytes()


def _slow(*_, **given):
    raise subprocess.TimeoutExpired("cyclonedx-py", given["timeout"])


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("no clone", "there was no requirements.image.lock of a clone"),
        ("no lock", "there was no requirements.image.lock of a clone"),
        ("no command", "cyclonedx-py was not installed"),
        ("broken", "cyclonedx-py failed with status 1"),
        ("slow", "cyclonedx-py took longer than 120 s"),
    ],
)
def test_a_missing_bill_of_materials_has_its_reason(made, tmp_path, monkeypatch, case, reason):
    home, out = shutil.copytree(made.home, tmp_path / "home"), tmp_path / "out"
    out.mkdir()
    if case == "no lock":
        (home / "requirements.image.lock").unlink()
    elif case == "no command":
        monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    elif case == "broken":
        (home / "pyproject.toml").write_text("no toml [")
    elif case == "slow":
        monkeypatch.setattr(subprocess, "run", _slow)
    contents.write_bill_of_materials(None if case == "no clone" else home, out)
    assert [path.name for path in out.iterdir()] == ["sbom.txt"]
    assert reason in (out / "sbom.txt").read_text()
