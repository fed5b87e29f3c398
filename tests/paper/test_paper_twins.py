"""The leak-corrected twin of a cell: known, unknown and refused overlaps."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_results import digest, made_rows, write_result

from dgunet.data.catalogue.entries import dataset
from dgunet.data.catalogue.overlaps import OverlapRecord, read_overlaps, write_overlaps
from dgunet.paper.html_report import write_report
from dgunet.paper.overlaps import Overlaps, known_overlaps
from dgunet.paper.table_building import build_tables
from dgunet.paper.twins import build_twins
from dgunet.project import TRAINING_SETS, ProjectFolders
from dgunet.steps.tables import make_tables, read_results_and_rows
from dgunet.system.errors import DataError

TRAINING = "7" * 64
RAIN_SETS = ("Test100", "Rain100H", "Rain100L", "Test2800", "Test1200")


def record(test="Rain100L", images=(), **changes):
    content = {
        "train": "Rain13K",
        "train_digest": TRAINING,
        "test": test,
        "test_digest": digest("data", test, "paper"),
        "train_pairs": dataset("Rain13K").pairs,
        "complete": True,
        "images": sorted(images),
        "found": "by hand",
    }
    return OverlapRecord(**(content | changes))


def twins_of(folder, *records, profile="paper"):
    summaries, rows = read_results_and_rows([folder])
    tables = build_tables(summaries, profile=profile, rows=rows)
    overlaps = Overlaps(records, known_overlaps().statements)
    made = build_twins(tables, summaries, rows=rows, overlaps=overlaps)
    return {(twin.table, twin.row, twin.column, twin.metric): twin for twin in made}


def twin_of(folder, *records, column="Rain100L", metric="PSNR"):
    return twins_of(folder, *records)[1, "DGUNet (reproduced)", column, metric]


@pytest.fixture
def folder(tmp_path):
    """A complete made result of Rain100L by released weights."""
    write_result(tmp_path / "r", "Rain100L", profile="paper", weights="released")
    return tmp_path / "r"


def test_the_seen_images_are_left_out_and_the_change_is_paired(folder):
    seen = {"3", "50", "77", "100"}
    rows = made_rows("Rain100L", 100, ("DGUNet", None))
    for metric in ("PSNR", "SSIM"):
        twin = twin_of(folder, record(images=seen), metric=metric)
        scores = {row.id: getattr(row, metric.lower()) for row in rows}
        kept = [score for name, score in scores.items() if name not in seen]
        assert len(kept) == 96
        assert (twin.state, twin.seen, twin.images) == ("corrected", 4, 100)
        assert twin.corrected == pytest.approx(np.mean(kept), rel=1e-12)
        change = np.mean(kept) - np.mean(list(scores.values()))
        assert twin.change == pytest.approx(change, abs=1e-12)
        assert twin.training_sets == "Rain13K"


def test_the_interval_of_the_change_is_that_of_a_paired_bootstrap(folder):
    """Independent: the images are resampled within seen and unseen, both means are taken again."""
    seen = {str(number) for number in range(1, 101, 3)}
    twin = twin_of(folder, record(images=seen))
    rows = made_rows("Rain100L", 100, ("DGUNet", None))
    inside = np.array([row.psnr for row in rows if row.id in seen])
    outside = np.array([row.psnr for row in rows if row.id not in seen])
    draw = np.random.default_rng(5)
    changes = []
    for _ in range(6000):
        a, b = (draw.choice(part, len(part)) for part in (outside, inside))
        changes.append(a.mean() - np.concatenate([a, b]).mean())
    low, high = np.quantile(changes, [0.025, 0.975])
    assert [twin.low, twin.high] == pytest.approx([low, high], abs=0.08 * (high - low))
    assert twin.low < twin.change < twin.high and twin.confidence == 0.95


def test_the_average_is_the_average_of_corrected_means(tmp_path):
    seen = {"Rain100H": {"1", "2"}, "Rain100L": {"5", "6", "7"}}
    for name in RAIN_SETS:
        facts = {"weights": "released", "checkpoint_sha256": "a" * 64}
        write_result(tmp_path / name, name, profile="paper", **facts)
    records = [record(name, seen.get(name, ())) for name in RAIN_SETS]
    twins = twins_of(tmp_path, *records)
    means = []
    for name in RAIN_SETS:
        rows = made_rows(name, dataset(name).pairs, ("DGUNet", None))
        means.append(np.mean([r.psnr for r in rows if r.id not in seen.get(name, ())]))
    average = twins[1, "DGUNet (reproduced)", "Average", "PSNR"]
    assert average.corrected == pytest.approx(np.mean(means), rel=1e-12)
    assert (average.seen, average.state) == (5, "corrected")
    assert average.low < average.change < average.high
    clean = twins[1, "DGUNet (reproduced)", "Test2800", "PSNR"]
    assert (clean.state, clean.seen, clean.change, clean.low) == ("no image seen", 0, 0.0, None)
    # Without one of the five, the average is unknown.
    (missing,) = [
        twin
        for key, twin in twins_of(tmp_path, *records[1:]).items()
        if key == (1, "DGUNet (reproduced)", "Average", "PSNR")
    ]
    assert missing.state == "unknown" and missing.corrected is None
    assert missing.note.startswith("Rain13K was not checked against Test100")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "Rain13K was not checked against Rain100L"),
        ({"test_digest": "0" * 64}, "Rain13K was not checked against this release of Rain100L"),
        (
            {"complete": False, "train_pairs": 40, "images": ["88", "93"]},
            "Rain13K was checked in part only (40 pairs) against Rain100L",
        ),
    ],
)
def test_an_unknown_overlap_gives_no_number(folder, changes, reason):
    records = [] if changes is None else [record(**changes)]
    twin = twin_of(folder, *records)
    assert twin.state == "unknown" and twin.note.startswith(reason)
    assert "546 of the 1,800 images" in twin.note, "what others state is said, with its source"
    assert (twin.seen, twin.corrected, twin.change, twin.low) == (None, None, None, None)
    assert twin.value is not None


def test_trained_weights_need_the_digest_of_their_own_training_set(tmp_path):
    facts = {"profile": "paper", "weights": "trained"}
    write_result(tmp_path / "r", "Rain100L", training_digest=TRAINING, **facts)
    part = {"complete": False, "train_pairs": 40}
    assert twin_of(tmp_path, record(images=["1", "2"], **part)).seen == 2, "it has seen this part"
    other = twin_of(tmp_path, record(images=["1"], train_digest="8" * 64))
    assert other.state == "unknown" and "as the network was trained on" in other.note
    write_result(tmp_path / "r", "Rain100L", training_digest="", **facts)
    further = twin_of(tmp_path, record(images=["1"]))
    assert further.state == "unknown" and "trained further from others" in further.note


def test_weights_of_unknown_origin_and_unmeasured_cells_have_no_twin(tmp_path):
    write_result(tmp_path / "r", "Rain100L", profile="paper")
    twins = twins_of(tmp_path, record(images=["1"]))
    twin = twins[1, "DGUNet (reproduced)", "Rain100L", "PSNR"]
    assert (twin.state, twin.training_sets) == ("unknown", None)
    absent = twins[1, "DGUNet (reproduced)", "Rain100H", "PSNR"]
    assert (absent.state, absent.note, absent.value) == ("no value", "not run", None)


def test_released_sensing_weights_were_trained_on_two_sets(tmp_path):
    facts = {"profile": "paper", "ratio": 10, "data_digest": established("BSD400", "Set11")}
    key = (4, "Set11 10%", "DGUNet (reproduced)", "PSNR")
    write_result(tmp_path, "Set11", weights="released", **facts)
    released = twins_of(tmp_path, *known_overlaps().records)[key]
    assert (released.state, released.training_sets) == ("unknown", "DIV2K BSD400")
    assert released.note == "DIV2K was not checked against Set11"
    own = known_overlaps().records[0].train_digest
    write_result(tmp_path, "Set11", weights="trained", training_digest=own, **facts)
    trained = twins_of(tmp_path, *known_overlaps().records)[key]
    assert (trained.state, trained.change) == ("no image seen", 0.0)


def established(train, test):
    """The digest of the test set in the established record of two sets."""
    (found,) = [r for r in known_overlaps().records if (r.train, r.test) == (train, test)]
    return found.test_digest


def test_a_record_with_an_image_that_the_set_lacks_is_refused(folder):
    with pytest.raises(DataError, match=r"image 'x.png' of Rain100L"):
        twin_of(folder, record(images=["1", "x.png"]))


def test_the_training_set_has_every_image(folder):
    every = {str(number) for number in range(1, 101)}
    twin = twin_of(folder, record(images=every))
    assert twin.state == "unknown" and twin.note.startswith("the training set has every image")


def test_own_overlaps_are_read_and_the_files_and_the_report_show_the_twins(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    own = ProjectFolders(tmp_path).overlaps
    write_overlaps([record(images=["3", "50"])], own)
    for name in ("a", "b"):
        made = make_tables("paper", results=[folder], out=tmp_path / name, overlaps=own)
    for name in ("twins.csv", "twins.md", "twins.parquet", "index.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    lines = pq.read_table(tmp_path / "a" / "twins.parquet").to_pylist()
    assert len(lines) == 94
    (line,) = [
        each
        for each in lines
        if (each["row"], each["column"], each["metric"])
        == ("DGUNet (reproduced)", "Rain100L", "PSNR")
    ]
    assert (line["state"], line["seen"]) == ("corrected", 2)
    assert (
        f"{line['corrected']:.4f},{line['change']:+.4f}"
        in (tmp_path / "a" / "twins.csv").read_text()
    )
    index = json.loads((tmp_path / "a" / "index.json").read_text())
    assert index["twins"]["counts"] == {"corrected": 2, "no value": 92}
    summaries, rows = read_results_and_rows([folder])
    twins = build_twins(made, summaries, rows=rows, overlaps=known_overlaps(own))
    page = write_report(made, {}, tmp_path / "r.html", twins).read_text()
    assert f"<td>{line['change']:+.4f}</td>" in page
    assert "92 of 94 cells have no measured value." in page


# The file of overlaps.


def test_records_are_kept_replaced_and_sorted(tmp_path):
    path = tmp_path / "overlaps.json"
    write_overlaps([record(images=["1"]), record("Rain100H", ["2"])], path)
    first = path.read_bytes()
    write_overlaps([record("Rain100H", ["2"])], path)
    assert path.read_bytes() == first
    write_overlaps([record(images=["9"])], path)
    assert [(r.test, r.images) for r in read_overlaps(path)] == [
        ("Rain100H", ["2"]),
        ("Rain100L", ["9"]),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": "Rain14K"}, "Rain14K"),
        ({"train": "Rain100H"}, "Rain100H is not a train set"),
        ({"test_digest": "x"}, "test_digest is 'x'"),
        ({"images": ["2", "1"]}, "not sorted"),
        ({"images": ["1", "1"]}, "occurs twice"),
        ({"images": "1"}, "images is '1'"),
        ({"complete": 1}, "complete is 1"),
        ({"more": 1}, "more is 1"),
    ],
)
def test_an_edited_record_is_refused(tmp_path, change, message):
    path = tmp_path / "overlaps.json"
    content = record(images=["1"]).model_dump() | change
    path.write_text(json.dumps({"overlaps": [content]}))
    with pytest.raises(DataError, match=message) as caught:
        known_overlaps(path)
    assert "\n" not in str(caught.value)
    path.write_text("[]")
    with pytest.raises(DataError, match="not an object"):
        known_overlaps(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="not a file of overlaps"):
        known_overlaps(path)


def test_the_established_overlaps_are_of_sets_of_the_catalogue_and_no_part_is_complete():
    shipped = known_overlaps()
    assert {(r.train, r.test) for r in shipped.records if r.complete} == {
        ("BSD400", "BSD68"),
        ("BSD400", "Set11"),
    }
    for entry in shipped.records:
        assert entry.complete == (entry.train_pairs == dataset(entry.train).pairs)
    assert {s.train for s in shipped.statements} == {TRAINING_SETS["derain"]}
    assert known_overlaps(ProjectFolders.here().overlaps.with_name("absent.json")) == shipped
