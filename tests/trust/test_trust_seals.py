"""Edited results are found: by their seals, and where these fit the edit, by computing again."""

import json
import shutil
import subprocess

import pyarrow.parquet as pq
import pytest
from bit_flips import READERS, files_of, flip_bits, kind_of, table
from made_results import edit, reseal, write_result

from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.restoration import identity
from dgunet.evaluation.results import read_result
from dgunet.evaluation.runner import merge_rows, score_shard
from dgunet.paper.formats import write_tables
from dgunet.paper.html_report import write_report
from dgunet.paper.table_building import build_tables
from dgunet.steps.result_search import find_all_results
from dgunet.steps.tables import read_results
from dgunet.steps.verifying import Verifier
from dgunet.system.errors import DataError, DgunetError, EvaluationError
from dgunet.system.files import sha256_file
from dgunet.system.seals import SEAL, seal_faults, write_seal


@pytest.fixture(scope="module")
def made(sample_root, tmp_path_factory):
    """A prepared set, its evaluation with kept images, tables and their page."""
    build = tmp_path_factory.mktemp("made") / "build"
    store = build / "prepared/Rain100L"
    prepare_dataset("Rain100L", sample_root, store, profile="sample", workers=1)
    rules, work = protocol("rain-y"), build.parent / "work"
    settings = Settings(row="DGUNet", checkpoint_sha256="0" * 64, keep_images=2)
    pairs = PairStore.open(store)
    score_shard(identity, pairs, rules, work, settings)
    merge_rows(pairs, rules, work, build / "evaluation/Rain100L-DGUNet", settings)
    tables = build_tables(read_results([build / "evaluation"]), profile="sample")
    write_tables(tables, build / "tables")
    write_report(tables, {}, build / "report.html")
    return build


@pytest.fixture
def build(made, tmp_path):
    """A copy of the results that a test may edit."""
    return shutil.copytree(made, tmp_path / "build")


def verdicts(build, **options):
    """The verdicts on all results in ``build``, by kind."""
    verifier = Verifier(**options)
    return {each.kind: verifier.verify(each) for each in find_all_results([build]).results}


def faults(build):
    """What is wrong with the results in ``build``, by kind; kinds without faults are left out."""
    found = verdicts(build)
    return {kind: [f.what for f in v.faults] for kind, v in found.items() if v.faults}


PLACES = {
    "store": "prepared/Rain100L",
    "evaluation": "evaluation/Rain100L-DGUNet",
    "tables": "tables",
}


def test_each_flipped_bit_is_found_and_refused(build):
    results = find_all_results([build]).results
    assert faults(build) == {}
    outcome = flip_bits(results, 200, seed=5)
    assert not outcome.missed, table(outcome)
    every = {kind_of(result, path) for result in results for path in files_of(result)}
    assert set(outcome.flips) == every and sum(outcome.flips.values()) == 200
    assert {"evaluation: .png", "tables: index.json", "store: SHA256SUMS"} < every
    assert faults(build) == {}


@pytest.mark.parametrize("kind", PLACES)
def test_a_seal_counts_every_file(build, kind):
    folder = build / PLACES[kind]
    (folder / "added.txt").write_text("x")
    with pytest.raises(DgunetError, match=r"added\.txt is not in SHA256SUMS"):
        READERS[kind](folder)
    (folder / "added.txt").unlink()
    (folder / ".hidden").write_text("x")
    READERS[kind](folder)
    seal = folder / SEAL
    whole = seal.read_text()
    for changed, message in (
        (whole + "\n", "SHA256SUMS was changed"),
        ("".join(whole.splitlines(keepends=True)[::-1]), "not in the written order"),
        (whole.upper(), "SHA256SUMS was changed: line 1"),
        (f"{'0' * 64}  ../../x\n{whole}", r"lacks '\.\./\.\./x'"),
        ("", "SHA256SUMS was changed"),
    ):
        seal.write_text(changed)
        with pytest.raises(DgunetError, match=message):
            READERS[kind](folder)


@pytest.mark.parametrize("kind", PLACES)
def test_results_from_before_seals_are_refused_until_they_are_sealed(build, kind):
    folder = build / PLACES[kind]
    seal = folder / SEAL
    whole = seal.read_bytes()
    seal.unlink()
    with pytest.raises(DgunetError, match=r"is not sealed.*`dgunet verify --seal`"):
        READERS[kind](folder)
    assert "is not sealed" in faults(build)[kind][0]
    assert verdicts(build, seal=True)[kind].newly_sealed
    assert seal.read_bytes() == whole
    READERS[kind](folder)


def test_an_edited_result_is_not_sealed(build):
    folder = build / PLACES["evaluation"]
    (folder / SEAL).unlink()
    edit(folder / "summary.json", psnr=99.0)
    verdict = verdicts(build, seal=True)["evaluation"]
    assert "psnr is 99.0" in verdict.faults[0].what and not verdict.newly_sealed
    assert not (folder / SEAL).exists()


def test_coreutils_verifies_a_seal(build):
    command = ["sha256sum", "--quiet", "--strict", "--check", SEAL]
    for place in PLACES.values():
        subprocess.run(command, cwd=build / place, check=True)


def test_a_refused_evaluation_is_named(build):
    """Neither the weights nor a run record this checkpoint, so that only the seal tells."""
    folder = build / PLACES["evaluation"]
    edit(folder / "summary.json", checkpoint_sha256="1" * 64)
    with pytest.raises(EvaluationError, match=r"summary\.json has .*\(Rain100L, DGUNet\)"):
        read_result(folder)
    with pytest.raises(EvaluationError, match=r"\(Rain100L, DGUNet\)"):
        read_results([folder])


@pytest.mark.parametrize("changes", [{"doubts": ["other"]}, {"published_count": 100}, {}], ids=str)
def test_an_edited_manifest_is_refused(build, changes):
    """A sample's doubts decide nothing, and no digest covers them or the white space."""
    folder = build / PLACES["store"]
    edit(folder / "manifest.json", **changes)
    if not changes:
        (folder / "manifest.json").write_text((folder / "manifest.json").read_text() + " ")
    with pytest.raises(DataError, match=r"manifest\.json has the SHA-256"):
        PairStore.open(folder)


def test_the_cells_are_computed_again(build):
    """The index and the seal fit the edited cell; the evaluation does not."""
    folder = build / PLACES["tables"]
    cells = pq.read_table(folder / "cells.parquet")
    values = cells["value"].to_pylist()
    (place,) = [
        number
        for number, cell in enumerate(cells.to_pylist())
        if (cell["table"], cell["state"], cell["metric"]) == (1, "sample", "PSNR")
    ]
    values[place] += 1
    column = cells.schema.get_field_index("value")
    edited = cells.set_column(column, cells.schema.field("value"), [values])
    pq.write_table(edited, folder / "cells.parquet", compression="zstd")
    digest = sha256_file(folder / "cells.parquet")
    edit(folder / "index.json", cells={"path": "cells.parquet", "sha256": digest})
    reseal(folder)
    assert seal_faults(folder) == []
    (fault,) = faults(build)["tables"]
    assert "Table 1, DGUNet (sample, not comparable), Rain100L PSNR: value is" in fault


def test_a_result_that_lacks_files_is_found(build):
    folder = build / PLACES["evaluation"]
    for name in ("summary.json", "per_image.parquet"):
        (folder / name).unlink()
    assert "lacks 'per_image.parquet'" in " ".join(faults(build)["folder"])
    (build / PLACES["store"] / "manifest.json").unlink()
    assert "manifest.json is missing" in faults(build)["store"][0]


def test_the_images_of_one_photograph_twice_do_not_fit(build):
    folder = build / PLACES["evaluation"] / "restored"
    first, second, *_ = sorted(folder.iterdir())
    first.write_bytes(second.read_bytes())
    assert str(first) in faults(build)["evaluation"][0]


def test_a_name_that_a_seal_cannot_hold_is_refused(tmp_path):
    (tmp_path / "a\nb").write_text("x")
    with pytest.raises(DataError, match=r"cannot be sealed: .* contains a control character"):
        write_seal(tmp_path)


@pytest.fixture
def home(build, project, monkeypatch):
    """A project with the results."""
    shutil.copy(project / "params.yaml", build.parent)
    monkeypatch.setenv("DGUNET_HOME", str(build.parent))
    return build.parent


def test_the_command_prints_a_line_for_each_result(home, dgunet):
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    result = dgunet("verify")
    assert result.returncode == 0, result
    assert [line.split()[:2] for line in result.stdout.splitlines()[:4]] == [
        ["ok", kind] for kind in ("store", "evaluation", "tables", "report")
    ]
    assert result.stdout.endswith("4 results: 4 unchanged, 0 failed\n")
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


def test_the_command_says_what_failed_and_how_to_mend_it(home, dgunet):
    page = home / "build/report.html"
    page.write_text(page.read_text().replace("Table 1", "Table 7", 1))
    edit(home / "build" / PLACES["evaluation"] / "summary.json", images=7)
    result = dgunet("verify")
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert f"{page} has the SHA-256" in result.stdout
    assert any("images is 7; per_image.parquet has 3" in line for line in lines)
    assert any(line.strip().startswith("-> Write it again with `dgunet report`") for line in lines)
    assert lines[-1] == "4 results: 2 unchanged, 2 failed"
    assert dgunet("verify", home / "build/prepared").returncode == 0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "does not exist"),
        ("params.yaml", "neither a folder of results nor"),
        ("empty", "there are no results in"),
    ],
)
def test_the_command_refuses_what_is_no_result(home, dgunet, path, message):
    (home / "empty").mkdir()
    result = dgunet("verify", home / path)
    assert result.returncode == 1 and message in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_report_refuses_edited_tables(home, dgunet, monkeypatch):
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    index = home / "build/tables/index.json"
    index.write_text(json.dumps(json.loads(index.read_text())))
    result = dgunet("report")
    assert result.returncode == 1 and f"{index} has the SHA-256" in result.stderr


def test_tables_are_compared_with_the_evaluations_beside_them(build):
    """A second evaluation with the same name, as a pipeline leaves it, is not taken instead."""
    write_result(build / "pipelines/run/results", "Rain100L")
    assert faults(build) == {}
