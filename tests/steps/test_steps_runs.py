"""What an evaluation and the tables write into their runs, from the journal."""

import json

import pytest

from dgunet.steps.evaluate import evaluate_test_set
from dgunet.steps.tables import make_tables
from dgunet.tracking import TrackingFolders
from dgunet.tracking.experiment_pages import NOTE
from dgunet.tracking.journal.reading import scan_journals


@pytest.fixture(scope="module")
def journals(small, params, tmp_path_factory):
    """The journals of an evaluation and of the tables made from it."""
    out = tmp_path_factory.mktemp("results")
    keep = params.sample.evaluate.model_copy(update={"keep_images": 2})
    params = params.model_copy(
        update={"sample": params.sample.model_copy(update={"evaluate": keep})}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_HOME", str(out))
        patch.setenv("DGUNET_TRACKING", "later")
        patch.setenv("DGUNET_GIT_COMMIT", "0" * 40)
        evaluate_test_set(
            params.evaluation,
            "Rain100L",
            models={None: small.model("derain-DGUNet") / "network.safetensors"},
            store=small.store("Rain100L"),
            out=out / "evaluation",
        )
        make_tables("sample", results=[out / "evaluation"], out=out / "tables")
        return scan_journals(TrackingFolders(out).journals).whole


def values(journal, kind):
    """All values of the events of a kind, the later ones on top, in order of their first event."""
    joined = {}
    for event in journal.events():
        if event["kind"] == kind:
            joined |= event["values"]
    return joined


def test_an_evaluation_begins_with_its_score(journals):
    evaluation = journals[0]
    metrics = values(evaluation, "metrics")
    assert list(metrics) == ["psnr", "ssim", "seconds_restoring"]
    params = values(evaluation, "params")
    assert set(params) == {"stages", "scales", "parameters", "images", "input_psnr", "input_ssim"}
    note = (evaluation.header["tags"] | values(evaluation, "tags"))[NOTE]
    assert note.startswith("DGUNet on the test set Rain100L (Table 1 of the paper). Sample profile")
    assert f"{metrics['psnr']:.2f} dB" in note and "3 of 100 images" in note
    tags = set(evaluation.header["tags"]) | set(values(evaluation, "tags"))
    assert not tags & (set(params) | {"column", "host", "pid", "dvc.stage"})


def test_the_strips_of_an_evaluation_are_in_the_image_grid(journals):
    names = [
        event["file"].rpartition("/")[2]
        for event in journals[0].events()
        if event["kind"] == "artifact" and event["folder"] == "images"
    ]
    assert all("+step+0+timestamp+" in name for name in names)
    assert len(names) == 3 * 2, "the best, the median and the worst of three, as PNG and WebP"
    assert {name.partition(".")[2] for name in names} == {"png", "webp"}
    assert values(journals[0], "tags")["mlflow.loggedImages"] == "True"


def test_the_run_of_the_tables_has_the_report_and_counts_the_cells(journals):
    tables = journals[-1]
    counts = values(tables, "metrics")
    assert counts.pop("evaluations") == 1
    assert counts.pop("cells") * 2 == sum(counts.values()) > 180
    assert counts["state/sample"] == 2, "PSNR and SSIM of the set"
    assert counts["state/not_run"] > 80 and counts["verdict/not_comparable"] > 90
    (report,) = (
        tables.folder / event["file"]
        for event in tables.events()
        if event["kind"] == "artifact" and event["file"].endswith("report.html")
    )
    page = report.read_text()
    assert "<html" in page and "0" * 40 in page, "the report names the commit of the evaluation"
    written = (tables.folder / next(iter(tables.events()))["file"]).read_text()
    assert json.loads(written)["packages"]["dgunet"]
