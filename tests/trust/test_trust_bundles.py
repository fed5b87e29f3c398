"""Bundles: what is in them, and the stand-alone verifier on a Python without this package."""

import ast
import csv
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from random import Random

import pytest
from made_results import digest, made_rows, write_result

from benchmarks import reduced_page
from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.evaluation.rows import parse_rows
from dgunet.project import ProjectFolders
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.files import sha256_file
from dgunet.tools.bundles import standalone
from dgunet.tools.bundles.checking import check_bundle
from dgunet.tools.bundles.project_bundle import bundle_project
from dgunet.tracking.index import RunInfo


def alone(verifier, *words):
    """Run a verifier without site packages, the user's settings or a network."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", verifier, *map(str, words)],
        cwd="/",
        env={"PATH": ""},
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_is_verified_elsewhere_by_the_file_inside(bundles, tmp_path):
    copy = shutil.copytree(bundles.signed, tmp_path / "copy")
    status, said = alone(copy / "verify.py", "--key", bundles.public)
    assert status == 0, said
    assert "3 evaluations averaged again over 120 images" in said
    assert "6 cells computed again" in said
    assert "signature of the key" in said
    score = copy / "evaluations/Test100-DGUNet/per_image.csv"
    score.write_text(score.read_text().replace("rain-y,1,24,", "rain-y,1,25,", 1))
    status, said = alone(copy / "verify.py")
    assert status == 1
    assert "evaluations/Test100-DGUNet/per_image.csv was changed" in said


def test_a_zip_file_is_verified_as_it_is(bundles, tmp_path):
    shutil.copyfile(bundles.folder / "verify.py", tmp_path / "verify.py")
    status, said = alone(tmp_path / "verify.py", bundles.packed, "--key", bundles.public)
    assert status == 0, said
    with zipfile.ZipFile(bundles.packed) as packed:
        assert set(packed.namelist()) == files(bundles.signed)


def test_the_verifier_is_of_python_3_8():
    source = (standalone.__file__, open(standalone.__file__, encoding="utf-8").read())  # noqa: PTH123, SIM115
    ast.parse(source[1], source[0], feature_version=(3, 8))


def test_the_verifier_knows_the_catalogue_and_the_protocols():
    entries = {**CATALOGUE, **FURTHER}
    tests = {name: entry for name, entry in entries.items() if entry.role == "test"}
    assert {
        name: (entry.pairs, entry.protocol, entry.published_release.digest[:8])
        for name, entry in tests.items()
    } == standalone.PUBLISHED
    assert {name: rules.version for name, rules in PROTOCOLS.items()} == standalone.VERSIONS


def test_the_csv_has_the_scores_of_the_parquet_file_in_full_precision(bundles):
    for folder in (bundles.folder / "evaluations").iterdir():
        rows, _ = parse_rows((folder / "per_image.parquet").read_bytes(), "it")
        lines = list(csv.DictReader((folder / "per_image.csv").open(encoding="utf-8")))
        assert [float(line["psnr"]) for line in lines] == [row.psnr for row in rows]
        assert [line["id"] for line in lines] == [row.id for row in rows]


def test_a_bundle_has_no_images_and_names_no_folder_of_this_machine(bundles):
    names = files(bundles.folder)
    assert not {name for name in names if name.endswith((".png", ".arrow", ".safetensors"))}
    assert {"cells.json", "claims/verdicts.json", "configuration/params.yaml"} <= names
    assert {"environment.json", "protocols.json", "tables/cells.parquet"} <= names
    for name in names - {"verify.py"}:
        content = (bundles.folder / name).read_bytes()
        assert str(bundles.home).encode() not in content, name


@pytest.mark.parametrize("kind", ["path", "secret"])
def test_a_bundle_that_would_name_a_path_or_a_secret_is_not_made(
    kind, project, tmp_path, monkeypatch
):
    secret = "correct horse battery"
    monkeypatch.setenv("A_PASSWORD", secret)
    told = str(tmp_path / "home") if kind == "path" else secret
    home = tmp_path / "home"
    write_result(home / "results", "Test100", profile="paper")
    text = (project / "params.yaml").read_text()
    (home / "params.yaml").write_text(f"# {told}\n{text}")
    with pytest.raises(DataError) as raised:
        bundle_project(ProjectFolders(home), tmp_path / "out", [home / "results"])
    assert "configuration/params.yaml of the bundle would contain" in str(raised.value)
    assert secret not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_not_replaced(bundles):
    with pytest.raises(DgunetError, match="exists"):
        bundle_project(ProjectFolders(bundles.home), bundles.folder, [bundles.home / "results"])


def test_the_description_names_every_file_and_follows_the_profiles(bundles):
    graph = json.loads((bundles.folder / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    own = {"ro-crate-metadata.json", "SHA256SUMS"}
    assert {part["@id"] for part in entities["./"]["hasPart"]} == files(bundles.folder) - own
    assert entities["#run"]["@type"] == "CreateAction"

    def references(value):
        if isinstance(value, dict):
            yield from [value["@id"]] if set(value) == {"@id"} else []
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    outside = {name for name in references(graph) if name not in entities}
    assert outside <= {"https://w3id.org/ro/crate/1.1", "https://dvc.org"}


def test_links_and_members_that_lead_out_of_the_bundle_are_refused(bundles, tmp_path):
    copy = shutil.copytree(bundles.folder, tmp_path / "copy")
    (copy / "tables" / "link").symlink_to("/etc/hostname")
    with pytest.raises(standalone.BundleError, match="tables/link is a link"):
        standalone.verify(copy)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as packed:
        packed.writestr("../outside", "x")
    with pytest.raises(standalone.BundleError, match="leads out of its folder"):
        standalone.verify(tmp_path / "bad.zip")


def test_several_trainings_of_a_network_are_bundled_with_their_curves_and_runs(
    project, tmp_path, monkeypatch
):
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    shutil.copyfile(project / "params.yaml", tmp_path / "params.yaml")
    rows = {seed: made_rows("Set11", 11, seed) for seed in (1, 2)}
    for seed in (1, 2):
        network = tmp_path / f"seed-{seed}/models/trained/cs-r10-DGUNet/network.safetensors"
        network.parent.mkdir(parents=True)
        network.write_bytes(b"weights %d" % seed)
        (network.parent / "training.json").write_text(f'{{"iterations": {600 * seed}}}')
        (network.parent / "loss.csv").write_text(f"step,loss\n1,0.{seed}\n")
        write_result(
            *(tmp_path / f"seed-{seed}/evaluation/Set11-DGUNet/r10", "Set11", "DGUNet", 10),
            profile="reduced",
            rows=rows[seed],
            checkpoint_sha256=sha256_file(network),
        )
    used = sha256_file(tmp_path / "seed-1/models/trained/cs-r10-DGUNet/network.safetensors")
    (tmp_path / "seed-2/models/trained/cs-r10-DGUNet/network.safetensors").write_bytes(b"later")
    run = RunInfo(
        *("journal", "f00d", "1", "dgunet/table-4", "train cs", "FINISHED", "train", "reduced"),
        *("own", "c0de", False, "da7a", f"sqlite:///{tmp_path}/mlflow.db", {"checkpoint": used}),
        params={"train.iterations": "600"},
    )
    known = {used: run, "of something else": replace(run, run_id="beef")}
    monkeypatch.setattr("dgunet.tools.bundles.project_bundle.runs_by_result", lambda _: known)
    folders = [tmp_path / "seed-1", tmp_path / "seed-2"]
    out = tmp_path / "out"
    bundle_project(ProjectFolders(tmp_path), out, folders)
    names = {path.name for path in (out / "evaluations").iterdir()}
    assert names == {"Set11-DGUNet-r10", "Set11-DGUNet-r10-2"}
    assert not (out / "tables").exists()
    assert check_bundle(out).faults == []
    assert [path.name for path in (out / "trainings").iterdir()] == [used]
    assert (out / "trainings" / used / "loss.csv").read_text() == "step,loss\n1,0.1\n"
    listed = {
        one["sha256"]: one for one in json.loads((out / "bundle.json").read_text())["weights"]
    }
    assert [one["training"] for one in listed.values()] == [f"trainings/{used}", None]
    (told,) = json.loads((out / "runs.json").read_text())
    assert (told["run_id"], told["commit"], told["dirty"]) == ("f00d", "c0de", False)
    assert told["params"] == {"train.iterations": "600"}
    assert "tracking_uri" not in told
    verdicts = json.loads((out / "claims/verdicts.json").read_text())
    assert "profile reduced" in " ".join(verdicts["about"])


def test_the_claims_page_has_the_verdicts_of_a_sealed_reduced_run(project, tmp_path, monkeypatch):
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    assert reduced_page.section(tmp_path) == reduced_page.NOT_RUN
    shutil.copyfile(project / "params.yaml", tmp_path / "params.yaml")
    whole = made_rows("Rain100H", 20)
    for seed in (1, 2):
        for name, lost in (("stages-7", 0), ("without-fgdm", 0.6)):
            rows = [
                replace(row, psnr=row.psnr - lost * (1 + n / 20) + seed / 1000)
                for n, row in enumerate(whole)
            ]
            write_result(
                *(tmp_path / f"seed-{seed}" / name, "Rain100H", name),
                profile="reduced",
                rows=rows,
                checkpoint_sha256=digest(name, seed),
            )
    record = tmp_path / reduced_page.RECORD
    folders = [tmp_path / "seed-1", tmp_path / "seed-2"]
    bundle_project(ProjectFolders(tmp_path), record, folders)
    said = reduced_page.section(tmp_path)
    assert "1 of 34 claims can be tested on it: 1 supported." in said
    (line,) = (each for each in said.splitlines() if "`without-fgdm-falls` |" in each)
    assert "| 0.55 | 0.1 | +0.885 | " in line  # 0.6 times the mean of 1, 1.05, ... 1.95
    assert "without-fgdm 2, stages-7 2 | supported |" in line
    assert "- `stages-9-over-7`: " in said
    (record / "claims/verdicts.json").write_text("{}")
    with pytest.raises(DataError, match=r"claims/verdicts\.json was changed"):
        reduced_page.section(tmp_path)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_every_changed_bit_of_a_bundle_is_found(bundles, tmp_path, packed):
    """In a zip file, bits that no file depends on (its dates) may change; nothing else may fail."""
    random = Random(7)
    copy = shutil.copytree(bundles.folder, tmp_path / "copy")
    paths = (
        [bundles.packed] if packed else sorted(each for each in copy.rglob("*") if each.is_file())
    )
    target = tmp_path / "copy.zip"
    for _ in range(40):
        path = random.choice(paths)
        content = bytearray(path.read_bytes())
        place, bit = random.randrange(len(content)), 1 << random.randrange(8)
        content[place] ^= bit
        (target if packed else path).write_bytes(content)
        try:
            bundle = standalone.verify(target if packed else copy)
        except standalone.BundleError:
            found = True
        else:
            found = bool(bundle.faults) or (packed and same_files(bundle, bundles.signed))
        assert found, (path.name, place, bit)
        content[place] ^= bit
        if not packed:
            path.write_bytes(content)


def same_files(bundle, folder):
    """Whether a bundle has the files of ``folder``, with their content."""
    return set(bundle.names) == files(folder) and all(
        bundle.read(name) == (folder / name).read_bytes() for name in bundle.names
    )


def test_the_command_bundles_weights_and_verifies_them_below_a_folder(
    project, tmp_path, dgunet, monkeypatch
):
    monkeypatch.setenv("DGUNET_HOME", str(tmp_path))
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    shutil.copyfile(project / "params.yaml", tmp_path / "params.yaml")
    weights = tmp_path / "seed/models/trained/derain-DGUNet/network.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    results = tmp_path / "seed/evaluation"
    write_result(results / "Rain100L-DGUNet", "Rain100L", checkpoint_sha256=sha256_file(weights))
    out = tmp_path / "bundles/of/results"
    done = dgunet("bundle", results, "--out", out, "--with-weights")
    assert done.returncode == 0, done.stderr
    assert "1 evaluations of 2 images, sample, not signed" in done.stdout
    (stored,) = (out / "weights").iterdir()
    assert stored.read_bytes() == b"weights"
    done = dgunet("verify", tmp_path / "bundles")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok      bundle" in done.stdout
    stored.write_bytes(b"others!")
    done = dgunet("verify", tmp_path / "bundles")
    assert done.returncode == 1
    assert f"weights/{stored.name} was changed" in done.stdout
    weights.unlink()
    done = dgunet("bundle", results, "--out", tmp_path / "more", "--with-weights")
    assert (done.returncode, "are not in the build folder" in done.stderr) == (1, True)
    assert not (tmp_path / "more").exists()
