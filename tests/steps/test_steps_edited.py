"""Edited results are refused by the tables, the report and ``explain`` with one-line errors."""

import json
import re
import shutil
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from made_results import digest, edit, reseal, write_result

from dgunet import network
from dgunet.config import load_params
from dgunet.project import ProjectFolders
from dgunet.steps import report as reporting
from dgunet.steps.evaluate import evaluate_test_set
from dgunet.steps.report import write_project_report
from dgunet.steps.result_folders import result_folders
from dgunet.steps.tables import make_tables, read_results
from dgunet.system.errors import EvaluationError
from dgunet.system.files import sha256_file
from dgunet.tracking import run_links
from dgunet.tracking.index import from_mlflow

CELL = ("explain", 1, "DGUNet (sample, not comparable)", "Rain100L PSNR")


@pytest.fixture(scope="module")
def evaluated(small, params, tmp_path_factory):
    """The small project with an evaluation of Rain100L and its tables."""
    home = tmp_path_factory.mktemp("evaluated") / "home"
    shutil.copytree(small.home, home)
    here = ProjectFolders(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_HOME", str(home))
        patch.setenv("DGUNET_TRACKING", "off")
        evaluate_test_set(
            params.evaluation,
            "Rain100L",
            models={None: here.model("derain-DGUNet") / "network.safetensors"},
            store=here.store("Rain100L"),
            out=here.evaluation("Rain100L", "DGUNet"),
        )
        tables_of(here)
    return here


def tables_of(here):
    params = load_params(here.params)
    results = result_folders(params, here)
    return make_tables(
        params.profile, results=results, out=here.tables, records=here.records, project=here
    )


@pytest.fixture
def here(evaluated, tmp_path, monkeypatch):
    """A copy of the evaluated project that a test may edit."""
    home = tmp_path / "home"
    shutil.copytree(evaluated.home, home)
    monkeypatch.setenv("DGUNET_HOME", str(home))
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    return ProjectFolders(home)


@pytest.fixture
def refused(here, dgunet):
    """Check that each command fails with a one-line error that contains the texts."""

    def check(*texts, commands=(("tables",), ("report",), CELL)):
        for command in commands:
            result = dgunet(*command)
            assert result.returncode == 1, result
            assert len(result.stderr.strip().splitlines()) == 1, result.stderr
            for text in texts:
                assert text in result.stderr, result.stderr

    return check


def test_unedited_results_are_accepted(here, dgunet):
    before = {p.name: p.read_bytes() for p in here.tables.iterdir()}
    for command in (("tables",), ("report",), CELL):
        result = dgunet(*command)
        assert result.returncode == 0, result
    assert {p.name: p.read_bytes() for p in here.tables.iterdir()} == before
    summary = json.loads((here.evaluation("Rain100L", "DGUNet") / "summary.json").read_text())
    assert repr(summary["psnr"]) in result.stdout


@pytest.mark.parametrize(
    "changes",
    [
        {"psnr": 99.0},
        {"images": 100},
        {"selection": "\\input{/etc/passwd}"},
        {"state": "measured"},
        {"per_image_sha256": "0" * 64},
        {"checkpoint_sha256": "0" * 64},
        {"data_digest": "0" * 64},
        {"selection": "held-out"},
        {"weights": "other", "training_digest": ""},
        {"training_digest": "0" * 64},
        {"row": "DGUNet+", "variant": "DGUNet+"},
    ],
    ids=str,
)
def test_an_edited_summary_is_refused(here, refused, changes):
    path = here.evaluation("Rain100L", "DGUNet") / "summary.json"
    old = json.loads(path.read_text())
    if old["selection"] == changes.get("selection"):
        changes = {"selection": "last"}
    edit(path, **changes)
    refused(str(path), next(iter(changes)))


def test_a_missing_or_truncated_per_image_table_is_refused(here, refused):
    table = here.evaluation("Rain100L", "DGUNet") / "per_image.parquet"
    whole = table.read_bytes()
    table.unlink()
    refused(f"{table} is missing")
    table.write_bytes(whole[: len(whole) // 2])
    refused("per_image_sha256", str(table))


def test_an_edited_value_with_updated_digests_is_found_by_the_means(here, refused):
    folder = here.evaluation("Rain100L", "DGUNet")
    known = pq.read_table(folder / "per_image.parquet")
    psnr = known["psnr"].to_pylist()
    changed = known.set_column(1, known.schema.field("psnr"), [[psnr[0] + 1, *psnr[1:]]])
    pq.write_table(changed, folder / "per_image.parquet", compression="snappy")
    edit(folder / "summary.json", per_image_sha256=sha256_file(folder / "per_image.parquet"))
    refused("summary.json: psnr is")


@pytest.mark.parametrize("content", ["", "[]", "null", "\x00", '{"psnr": 1, "psnr": 1}'])
def test_an_invalid_summary_gives_a_one_line_error(here, refused, content):
    path = here.evaluation("Rain100L", "DGUNet") / "summary.json"
    path.write_text(content)
    refused(str(path))


def test_a_summary_that_is_not_utf_8_gives_a_one_line_error(here, refused):
    path = here.evaluation("Rain100L", "DGUNet") / "summary.json"
    path.write_bytes(b"\xff\xfe")
    refused(str(path), "UTF-8")


def test_a_server_score_of_other_results_gives_a_one_line_warning(here, dgunet):
    """The command prints the warnings that the library logs."""
    names = ("checkpoint_sha256", "data_digest", "per_image_sha256", "bundle_sha256")
    score = {name: digest(name) for name in (*names, "evidence_sha256")} | {
        "row": "DGUNet",
        "variant": "DGUNet",
        "psnr": 40.0,
        "ssim": 0.95,
        "evidence": "mail.eml",
    }
    here.records.mkdir()
    (here.records / "dnd-DGUNet.json").write_text(json.dumps(score))
    result = dgunet("tables")
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "belongs to other results" in line]
    assert line.startswith("dgunet: the server's score of DGUNet ")


def edit_cell(here, **changes):
    """Change only the cell of `CELL` in ``cells.parquet``; gives the file's path."""
    path = here.tables / "cells.parquet"
    cells = pq.read_table(path)
    positions = [
        index
        for index, line in enumerate(cells.to_pylist())
        if (line["row"], line["column"], line["metric"]) == (CELL[2], "Rain100L", "PSNR")
    ]
    for name, value in changes.items():
        values = cells[name].to_pylist()
        values[positions[0]] = value
        index = cells.schema.get_field_index(name)
        cells = cells.set_column(index, cells.schema.field(name), [values])
    pq.write_table(cells, path, compression="zstd")
    return path


def test_an_edited_cell_is_not_explained(here, refused):
    path = edit_cell(here, value=99.0)
    refused(str(path), "SHA-256", commands=[CELL])


def test_an_edited_cell_with_an_updated_digest_is_found_by_the_evaluation(here, refused):
    path = edit_cell(here, value=99.0)
    index = here.tables / "index.json"
    content = json.loads(index.read_text())
    edit(index, cells=content["cells"] | {"sha256": sha256_file(path)})
    refused("Table 1", "Rain100L PSNR", "value is 99.0", commands=[CELL])


def test_without_the_evaluation_a_cell_is_explained_from_the_tables(here, dgunet):
    shutil.rmtree(here.home / "build/evaluation")
    result = dgunet(*CELL)
    assert result.returncode == 0
    assert "per_image_sha256" in result.stdout


@pytest.mark.parametrize(
    "spoil",
    [
        lambda index: index.unlink(),
        lambda index: index.write_text("[]"),
        lambda index: index.write_text("{}"),
        lambda index: index.write_text('{"tables": 3, "cells": {}}'),
        lambda index: edit(index, cells={"path": "../../params.yaml", "sha256": "0" * 64}),
        lambda index: edit(index, cells={"path": "cells.parquet", "sha256": 5}),
        lambda index: (index.parent / "table2.tex").write_text("\\input{x}"),
        lambda index: (index.parent / "table2.tex").unlink(),
    ],
)
def test_tables_that_do_not_match_their_index_are_not_explained(here, refused, spoil):
    spoil(here.tables / "index.json")
    refused(str(here.tables), commands=[CELL])


def test_tables_can_be_made_without_weights_and_data(here, dgunet):
    shutil.rmtree(here.home / "build/models")
    shutil.rmtree(here.home / "build/prepared")
    assert dgunet("tables").returncode == 0


def test_a_result_of_external_weights_is_verified_by_its_run(here, monkeypatch):
    """As after ``dgunet evaluate --checkpoint FILE`` into the project's folder."""
    folder = here.evaluation("Rain100H", "DGUNet")
    summary = write_result(folder, "Rain100H")
    run = SimpleNamespace(
        results={"per_image": summary["per_image_sha256"]},
        tags={
            "checkpoint.sha256": summary["checkpoint_sha256"],
            "selection": summary["selection"],
            "weights": summary["weights"],
        },
        data_digest=summary["data_digest"],
    )
    monkeypatch.setattr("dgunet.steps.result_evidence.delivered", lambda store: [run])
    assert len(read_results([folder], here)) == 1
    for field, value in (
        ("checkpoint_sha256", digest("other")),
        ("weights", "released"),
        ("selection", "held-out"),
    ):
        edit(folder / "summary.json", **{field: value})
        with pytest.raises(EvaluationError, match=f"{field} is"):
            read_results([folder], here)
        edit(folder / "summary.json", **{field: summary[field]})


def test_parity_is_verified_against_the_weights(here):
    """The summary of a tiny network under the paper profile claims parity."""
    weights = here.model("deblur-DGUNet") / "network.safetensors"
    config = network.preset("deblur", "DGUNet", n_feat=8, scale=4, last_width=4)
    network.save_network(network.DGUNet(config), weights, {"selection": "last"})
    folder = here.evaluation("HIDE", "DGUNet")
    facts = {"checkpoint_sha256": sha256_file(weights), "profile": "paper"}
    write_result(folder, "HIDE", **facts, parity=False)
    assert len(read_results([folder], here)) == 1
    edit(folder / "summary.json", parity=True)
    with pytest.raises(Exception, match="parity is True"):
        read_results([folder], here)


def test_a_prepared_dataset_of_another_profile_does_not_affect_a_result(here):
    folder = here.evaluation("Rain100L", "DGUNet")
    shutil.rmtree(folder)
    facts = evidence_of(here)
    write_result(folder, "Rain100L", profile="paper", **facts, parity=False)
    assert len(read_results([folder], here)) == 1


def weights_of(here):
    return here.model("derain-DGUNet") / "network.safetensors"


def evidence_of(here):
    from dgunet.steps.result_evidence import weights_metadata

    extra = weights_metadata(weights_of(here))["extra"]
    return {
        "checkpoint_sha256": sha256_file(weights_of(here)),
        "selection": extra["selection"],
        "weights": "trained",
        "training_digest": extra["train.data_digest"],
    }


def test_changed_pixels_are_found_by_an_evaluation(here, params, dgunet):
    shard = here.store("Rain100L") / "pairs-00000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    result = dgunet("evaluate", "--sets", "Rain100L")
    assert result.returncode == 1
    assert (
        result.stderr.count("\n") == 1
        and f"{shard} has changed since it was prepared" in result.stderr
    )


def test_a_store_of_another_profile_is_not_evaluated(here, dgunet):
    path = here.store("Rain100L") / "manifest.json"
    edit(path, profile="paper", digest="0" * 64)
    result = dgunet("evaluate", "--sets", "Rain100L")
    assert result.returncode == 1 and "manifest.json" in result.stderr
    text = here.params.read_text().replace("profile: sample", "profile: paper")
    here.params.write_text(text.replace("device: auto", "device: cpu"))
    edit(path, profile="sample", digest=json.loads(summary_of(here))["data_digest"])
    reseal(path.parent)
    result = dgunet("evaluate", "--sets", "Rain100L")
    assert result.returncode == 1
    assert "has the profile 'sample', the parameters have 'paper'" in result.stderr


def summary_of(here):
    return (here.evaluation("Rain100L", "DGUNet") / "summary.json").read_text()


@pytest.mark.parametrize(
    ("tag", "shown_commit", "explained"),
    [
        ("true", "abc123 with uncommitted changes", "true"),
        ("false", "abc123", "false"),
        ("unknown", "abc123 (uncommitted changes not recorded)", "unknown"),
    ],
)
def test_the_text_of_the_mlflow_tag_decides_whether_code_is_reported_as_dirty(
    here, monkeypatch, tag, shown_commit, explained
):
    """The tag is a string, and the string "false" is truthy in Python."""
    run = SimpleNamespace(
        info=SimpleNamespace(
            run_id="r1", experiment_id="1", run_name="evaluate", status="FINISHED", start_time=0
        ),
        data=SimpleNamespace(
            tags={"git.commit": "abc123", "git.dirty": tag}, params={}, metrics={}
        ),
    )
    info = from_mlflow(run, "dgunet/derain", "sqlite:///x")
    for module in (reporting, run_links):
        monkeypatch.setattr(module, "lookup", lambda key, home: info)
        monkeypatch.setattr(module, "run_url", lambda info, folders: None)
    write_project_report(here)
    page = (here.home / "build/report.html").read_text()
    commits = re.findall(r"Code commit</dt>\s*<dd>([^<]*)</dd>", page)
    assert set(commits) - {"not recorded"} == {shown_commit}, (
        "an average over test sets has no single run"
    )
    assert ("with uncommitted changes" in page) is (tag == "true")
    text = reporting.explain_text(here, load_params(here.params), *CELL[1:])
    (fact,) = re.findall(r"^dirty +(.*)$", text, re.MULTILINE)
    assert fact == explained
