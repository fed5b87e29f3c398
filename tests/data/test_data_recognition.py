"""Releases of the catalogue are recognised by name, with the mend, wherever a dataset is read."""

import shutil

import numpy as np
import pytest
from data_stores import with_release
from PIL import Image
from pydantic import ValidationError
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.acquisition.importing import import_dataset
from dgunet.data.catalogue.entries import CATALOGUE, DatasetInfo, counted, dataset
from dgunet.data.catalogue.release import Release
from dgunet.data.check.dataset_check import check_dataset
from dgunet.data.store.manifest import StoreManifest
from dgunet.data.store.prepare import prepare_dataset
from dgunet.data.store.recognition import ReleaseMeasurements, recognise
from dgunet.data.store.releases import release_doubts
from dgunet.system.errors import DataError

HALF = (
    'this is "Rain800\'s test half" (the paper of Rain800): 100 pairs; the published numbers were'
    " made with MSPFN's 98 pairs (the authors of MPRNet, issue 23). Two of its images"
)


def make_pairs(folder, names, suffix=".png"):
    """Write made-up pairs of 16 x 16 pixels with noisier inputs to ``folder``."""
    random = np.random.default_rng(0)
    for half in ("input", "target"):
        (folder / half).mkdir(parents=True)
    for name in names:
        clean = np.full((16, 16, 3), random.integers(60, 180), np.uint8)
        noise = random.integers(0, 40, clean.shape, np.uint8)
        Image.fromarray(clean).save(folder / "target" / f"{name}{suffix}")
        Image.fromarray(clean + noise).save(folder / "input" / f"{name}{suffix}")
    return folder


def texts(report, level):
    return [finding.text for finding in report.findings if finding.level == level]


# Numbers of pairs.


def test_a_test100_of_98_pairs_is_complete(tmp_path):
    make_pairs(tmp_path / "Test100", range(1, 99))
    report = check_dataset("Test100", tmp_path)
    assert report.healthy and not texts(report, "warning")
    assert report.release == "MSPFN's 98 pairs, not verified by pixels"
    manifest = prepare_dataset("Test100", tmp_path, tmp_path / "s", profile="paper")
    assert (manifest.complete, manifest.count, manifest.published_count) == (True, 98, 98)
    imported = import_dataset("Test100", tmp_path / "Test100", tmp_path / "root")
    assert (imported.doubts, imported.release) == ((), "")
    assert imported.line().startswith("Test100: 98 pairs, 196 files in ")


def test_a_test100_of_100_pairs_is_named_as_the_other_release_everywhere(tmp_path):
    make_pairs(tmp_path / "Test100", range(1, 101))
    report = check_dataset("Test100", tmp_path)
    (warning,) = texts(report, "warning")
    assert warning.startswith(HALF)
    assert report.release == "Rain800's test half, not verified by pixels"
    manifest = prepare_dataset("Test100", tmp_path, tmp_path / "s", profile="paper")
    assert not manifest.complete
    assert manifest.doubts == (warning,)
    assert StoreManifest.read(tmp_path / "s") == manifest
    imported = import_dataset("Test100", tmp_path, tmp_path / "root")
    assert imported.doubts == (warning,)
    assert imported.line().startswith("Test100: 100 pairs, 200 files in ")
    make_pairs(tmp_path / "unnamed/folder", range(1, 101))
    with pytest.raises(DataError, match=r"100 pairs instead of 98 .*Rain800's test half.*23"):
        import_dataset("Test100", tmp_path / "unnamed", tmp_path / "other")


def test_another_number_of_pairs_is_no_release(tmp_path):
    make_pairs(tmp_path / "Test100", range(1, 98))
    report = check_dataset("Test100", tmp_path)
    assert texts(report, "warning") == ["97 pairs instead of the published 98"]
    assert report.release == ""


@pytest.mark.parametrize(
    ("name", "pairs", "release"),
    [
        ("Test100", 98, "MSPFN's 98 pairs"),
        ("Test100", 100, "Rain800's test half"),
        ("Test2800", 2800, "MSPFN's 2,800 pairs"),
        ("Test2800", 1400, "the test half of Rain1400 in its authors' own split"),
        ("Rain13K", 13_711, "the 13,711 pairs that circulate"),
        ("Rain13K", 13_712, "the 13,712 pairs of the print"),
        ("Rain100H", 200, "the later release (RainHeavy)"),
        ("Rain100L", 200, "the later release (RainLight)"),
        ("SIDD-train", 160, "SIDD-Small, one pair per scene"),
        ("Rain1800", 1254, "PReNet's 1,254 pairs"),
        ("HIDE", 942, None),
    ],
)
def test_a_release_is_recognised_by_its_number_of_pairs(name, pairs, release):
    found = recognise(dataset(name), ReleaseMeasurements(pairs))
    assert (found and found.name) == release


# Input quality and digests.


@pytest.mark.parametrize(("name", "psnr"), [("Rain100H", 13.55), ("Rain100L", 26.90)])
def test_both_releases_of_rain100_are_told_by_their_input_quality(name, psnr):
    info = dataset(name)
    old = ReleaseMeasurements(100, input_psnr=psnr + 0.04)
    assert recognise(info, old) == info.published_release
    new = ReleaseMeasurements(100, "0" * 64, input_psnr=psnr - 0.06)
    assert recognise(info, new).name == "the updated release on its authors' page"
    (doubt,) = release_doubts(info, new)
    assert f"mean input PSNR {psnr - 0.06:.2f} dB instead of {psnr:.2f} dB" in doubt
    assert "Get the old release" in doubt
    assert recognise(info, ReleaseMeasurements(100, "0" * 64)) is None, "no sign of either"
    known = ReleaseMeasurements(100, info.published_release.digest, input_psnr=1.0)
    assert recognise(info, known) == info.published_release


def test_prepare_and_import_measure_the_input_quality_of_rain100(tmp_path, monkeypatch):
    info = with_release(CATALOGUE["Rain100H"], pairs=3)
    updated = tuple(
        r.model_copy(update={"pairs": 3} if r.pairs == 100 else {}) for r in info.releases
    )
    monkeypatch.setitem(CATALOGUE, "Rain100H", info.model_copy(update={"releases": updated}))
    make_pairs(tmp_path / "Rain100H", range(1, 4))
    manifest = prepare_dataset("Rain100H", tmp_path, tmp_path / "s", profile="paper")
    imported = import_dataset("Rain100H", tmp_path, tmp_path / "root")
    (warning,) = texts(check_dataset("Rain100H", tmp_path), "warning")
    assert manifest.doubts == imported.doubts == (warning,)
    assert warning.startswith('this is "the updated release on its authors\' page"')
    assert not manifest.complete


# Images without counterpart.


def test_the_extra_input_of_test2800_is_named_with_the_file_to_delete(tmp_path):
    folder = make_pairs(tmp_path / "Test2800", ["926_9", "926_10"], ".jpg")
    extra = folder / "input/926_10(1).jpg"
    shutil.copyfile(folder / "input/926_10.jpg", extra)
    report = check_dataset("Test2800", tmp_path)
    first, second = texts(report, "error")
    assert first.startswith('this is "an early copy with a 2,801st input"')
    assert "3 degraded and 2 clean images" in first and "Delete 926_10(1).jpg" in first
    assert second.endswith("926_10(1).jpg has no clean target.")
    for read in (
        lambda: prepare_dataset("Test2800", tmp_path, tmp_path / "s", profile="paper"),
        lambda: import_dataset("Test2800", tmp_path, tmp_path / "root"),
    ):
        with pytest.raises(DataError, match="an early copy with a 2,801st input") as refused:
            read()
        assert "input/926_10(1).jpg has no clean target" in refused.value.message
        assert refused.value.hint.startswith("Delete 926_10(1).jpg from the folder")
    extra.unlink()
    assert check_dataset("Test2800", tmp_path).healthy
    (folder / "input/another.jpg").write_bytes((folder / "input/926_9.jpg").read_bytes())
    with pytest.raises(DataError, match=r"another\.jpg has no clean target\."):
        prepare_dataset("Test2800", tmp_path, tmp_path / "s", profile="paper")


def test_an_incomplete_folder_of_hide_is_named(tmp_path):
    folder = make_pairs(tmp_path / "HIDE", ["one"])
    content = (folder / "input/one.png").read_bytes()
    for number in range(1, 1079):
        (folder / "input" / f"{number}.png").write_bytes(content)
    for number in range(1, 942):
        (folder / "target" / f"{number}.png").write_bytes(content)
    named = (
        "an incomplete download of the folder.*1,079 degraded and 942 clean images instead of 2,025"
    )
    for read in (
        lambda: prepare_dataset("HIDE", tmp_path, tmp_path / "s", profile="paper"),
        lambda: import_dataset("HIDE", tmp_path, tmp_path / "root"),
    ):
        with pytest.raises(DataError, match=named) as refused:
            read()
        assert "Fetch it again as one archive" in refused.value.hint
    result = CliRunner().invoke(data, ["check", "HIDE", "--root", str(tmp_path)])
    assert result.exit_code == 1
    assert "1,079 degraded and 942 clean images" in result.stdout


# The catalogue.


def entry(*releases, **more):
    content = dataset("Rain12").model_dump() | {"releases": releases} | more
    return DatasetInfo(**content)


PUBLISHED = {"name": "a", "pairs": 12, "published": True, "stated_by": "x"}
OTHER = {"name": "b", "pairs": 13, "stated_by": "x", "mend": "Get a."}


@pytest.mark.parametrize(
    ("releases", "message"),
    [
        ([], "0 releases are published"),
        ([OTHER], "0 releases are published"),
        ([PUBLISHED, PUBLISHED | {"name": "b"}], "2 releases are published"),
        ([PUBLISHED, OTHER | {"name": "a"}], "the same name"),
        ([PUBLISHED, OTHER | {"pairs": 12}], "nothing tells a from b"),
        ([PUBLISHED, OTHER, OTHER | {"name": "c"}], "b and c have the same number of pairs"),
        ([PUBLISHED, OTHER | {"mend": ""}], "every release has a mend"),
        ([PUBLISHED, OTHER | {"incomplete": [14, 2]}], "1 to 13 images"),
        ([PUBLISHED | {"extra": ["x"]}], "the published release is complete"),
        ([PUBLISHED | {"digest": "0"}], "digest"),
    ],
)
def test_releases_that_cannot_be_told_apart_are_refused(releases, message):
    with pytest.raises(ValidationError, match=message):
        entry(*releases)


def test_printed_numbers_counts_and_parts_must_agree_with_the_releases():
    good = entry(PUBLISHED, OTHER, printed={"pairs": 13, "where": "in Table 1"})
    assert (good.pairs, good.printed_pairs) == (12, 13)
    assert good.print_note == (
        "the paper prints 13 pairs in Table 1; the published numbers were made with 12 (x)"
    )
    part = {"name": "p", "pairs": 12, "citation": "c"}
    for wrong, message in [
        ({"printed": {"pairs": 12, "where": "x"}}, "leave it out"),
        ({"counts": {13: "x"}}, "in counts too"),
        ({"parts": [part], "printed": {"pairs": 13, "where": "x"}}, "do not add up"),
    ]:
        with pytest.raises(ValidationError, match=message):
            entry(PUBLISHED, OTHER, **wrong)


def test_print_and_release_are_shown_with_their_source():
    note = (
        "the paper prints 100 pairs in the name of the set; the published numbers were made with 98"
        " (the authors of MPRNet, issue 23)"
    )
    card = CliRunner().invoke(data, ["info", "Test100"]).stdout
    assert note in card
    assert "98 pairs, 196 images" in card
    assert "Rain800's test half: 100 pairs" in card
    assert note in CliRunner().invoke(data, ["list"]).stdout
    assert dataset("Rain13K").print_note.startswith("the paper prints 13,712 pairs in Section 4.2")
    assert [n for n, i in CATALOGUE.items() if i.print_note] == ["Test100", "Rain13K"]


def test_a_number_is_counted_against_the_published_release():
    assert counted("Test100", 98, 98, "images") == "98 of 98 images"
    assert counted("Test100", 3, 98, "images") == "3 of 98 images"
    assert counted("Test100", 100, 98, "images") == (
        '100 images ("Rain800\'s test half"), not the published 98'
    )
    assert counted("GoPro", 1112, 1111, "pairs") == "1112 pairs, not the published 1111"


def test_a_release_is_frozen():
    with pytest.raises(ValidationError):
        Release(**PUBLISHED).pairs = 3
