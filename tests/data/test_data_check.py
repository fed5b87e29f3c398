"""Dataset check: errors, releases, repeated images and overlaps of datasets."""

import json

import numpy as np
import pytest
from data_stores import with_release
from PIL import Image
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.batches.augment import dihedral
from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.data.check.dataset_check import (
    check_dataset,
    find_overlaps,
    find_shared_photographs,
    write_report,
)
from dgunet.data.check.fingerprints import FingerprintIndex, fingerprint, groups, turned
from dgunet.data.check.reports import Overlap
from dgunet.data.sample.photographs import photographs
from dgunet.data.store.prepare import prepare_dataset
from dgunet.system.errors import DataError


def photograph(name):
    return (photographs(name)[0].pixels() * 255).round().astype(np.uint8)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


# Fingerprints.


def test_a_crop_matches_its_image_and_no_other():
    index = FingerprintIndex()
    for name in ("astronaut", "coffee", "gravel", "grass"):
        index.add(name, fingerprint(photograph(name)))
    crop = photograph("astronaut")[37:167, 51:201]
    assert list(index.matches(fingerprint(crop))) == ["astronaut"]
    assert index.matches(fingerprint(photograph("chelsea"))) == {}


def test_a_grey_recompressed_copy_is_found(tmp_path):
    index = FingerprintIndex()
    index.add("coffee", fingerprint(photograph("coffee")))
    Image.fromarray(photograph("coffee")).convert("L").save(tmp_path / "a.jpg", quality=90)
    copy = np.asarray(Image.open(tmp_path / "a.jpg"))[..., None]
    assert "coffee" in index.matches(fingerprint(copy))


def test_overlapping_crops_are_grouped():
    whole = photograph("astronaut")
    crops = [("a", whole[:150, :150]), ("b", photograph("brick")), ("c", whole[40:190, 30:180])]
    assert groups((key, fingerprint(image)) for key, image in crops) == [["a", "c"], ["b"]]


@pytest.mark.parametrize("code", range(8))
def test_mirrored_and_rotated_crops_are_found(code):
    index = FingerprintIndex()
    for name in ("astronaut", "coffee", "gravel"):
        index.add(name, fingerprint(photograph(name)))
    crop = fingerprint(np.ascontiguousarray(dihedral(photograph("coffee")[21:190, 33:260], code)))
    back = {3: 5, 5: 3}.get(code, code)  # the others are their own inverse
    (found,) = index.copies(crop).items()
    assert found[0] == "coffee"
    assert found[1][1] == back
    assert list(index.matches(turned(crop, back))) == ["coffee"]


def test_small_and_plain_images_have_no_fingerprint():
    for image in (np.zeros((20, 20, 3), np.uint8), np.full((90, 90, 1), 7, np.uint8)):
        assert len(fingerprint(image).hashes) == 0
        assert FingerprintIndex().matches(fingerprint(image)) == {}


# One dataset.


def test_a_sample_dataset_is_healthy_but_not_complete(sample_root, prepared):
    report = check_dataset("Rain100H", sample_root)
    assert report.healthy
    assert (report.pairs, report.published_pairs) == (3, 100)
    assert [finding.level for finding in report.findings] == ["warning"]
    assert (
        report.digest == json.loads((prepared("Rain100H") / "manifest.json").read_text())["digest"]
    )
    assert report.sizes == {"96x96": 1, "128x96": 1, "96x128": 1}


def test_every_damaged_file_is_listed(editable_copy):
    root = editable_copy("test/Rain100H")
    folder = root / "test/Rain100H"
    for name in ("input/1.png", "target/3.png"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:500])
    report = check_dataset("Rain100H", root)
    errors = [finding.text for finding in report.findings if finding.level == "error"]
    assert len(errors) == 2
    assert "input/1.png" in errors[0]
    assert "target/3.png" in errors[1]
    assert report.digest == ""


def test_images_without_counterpart_are_listed_and_the_others_are_read(editable_copy, monkeypatch):
    root = editable_copy("test/Rain100H")
    folder = root / "test/Rain100H"
    (folder / "input/1.png").unlink()
    (folder / "target/3.png").unlink()
    report = check_dataset("Rain100H", root)
    errors = [finding.text for finding in report.findings if finding.level == "error"]
    assert "target/1.png has no degraded input" in errors[0]
    assert "input/3.png has no clean target" in errors[1]
    assert (report.pairs, sum(report.sizes.values())) == (1, 1)
    monkeypatch.setattr("dgunet.data.check.dataset_check.LISTED", 1)
    assert "1 more images have no counterpart" in check_dataset("Rain100H", root).findings[1].text


def test_formats_and_colour_modes_are_counted(editable_copy):
    root = editable_copy("test/Rain100H")
    folder = root / "test/Rain100H"
    with Image.open(folder / "input/1.png") as image:
        image.convert("L").save(folder / "input/1.png")
    with Image.open(folder / "input/2.png") as image:
        image.save(folder / "input/2.jpg")
    (folder / "input/2.png").unlink()
    report = check_dataset("Rain100H", root)
    assert report.kinds == {"PNG RGB": 4, "PNG L": 1, "JPEG RGB": 1}


def test_the_number_of_processes_does_not_change_the_report(editable_copy):
    root = editable_copy("test/GOPRO_Large")
    path = root / "test/GOPRO_Large/test/GOPR0869_11_00/sharp/000002.png"
    path.write_bytes(path.read_bytes()[:2000])
    seen = []
    one, several = (
        check_dataset("GoPro", root, workers=workers, observe=lambda *now: seen.append(now))
        for workers in (1, 2)
    )
    assert seen == [("GoPro", done, 4) for done in (1, 2, 3, 4)] * 2
    assert sum("000002.png is truncated" in finding.text for finding in one.findings) == 1
    assert {**vars(one), "fingerprints": 0} == {**vars(several), "fingerprints": 0}
    for key, image in one.fingerprints.items():
        np.testing.assert_array_equal(image.hashes, several.fingerprints[key].hashes)


def test_a_known_other_number_of_pairs_is_explained(sample_root, monkeypatch):
    entry = CATALOGUE["Rain100H"].model_copy(update={"counts": {3: "the sample"}})
    monkeypatch.setitem(CATALOGUE, "Rain100H", entry)
    (warning,) = check_dataset("Rain100H", sample_root).findings
    assert warning.text == "3 pairs instead of the published 100: the sample"


def test_a_missing_dataset_and_an_unknown_name_are_reported(tmp_path):
    report = check_dataset("GoPro", tmp_path)
    assert not report.healthy
    with pytest.raises(DataError, match="unknown dataset"):
        check_dataset("GoPro2", tmp_path)


@pytest.mark.parametrize(
    ("name", "folder", "first", "second"),
    [
        ("Rain100H", "test/Rain100H", "input", "target"),
        ("GoPro", "test/GOPRO_Large", "test/{}/blur", "test/{}/sharp"),
        (
            "SIDD",
            "test/SIDD",
            None,
            None,
        ),
    ],
)
def test_swapped_inputs_and_targets_are_found(editable_copy, tmp_path, name, folder, first, second):
    root = editable_copy(folder)
    assert check_dataset(name, root).healthy
    base = root / folder
    if name == "SIDD":
        _swap_sidd(base)
    else:
        sequences = [""] if "{}" not in first else ["GOPR0384_11_00", "GOPR0869_11_00"]
        for sequence in sequences:
            a, b = base / first.format(sequence), base / second.format(sequence)
            a.rename(base / "aside")
            b.rename(a)
            (base / "aside").rename(b)
    report = check_dataset(name, root)
    assert not report.healthy
    assert "look swapped" in report.findings[-1].text
    with pytest.raises(DataError, match="look swapped"):
        prepare_dataset(name, root, tmp_path / "store", profile="sample")
    assert not (tmp_path / "store").exists()


def _swap_sidd(folder):
    from scipy.io import loadmat, savemat

    noisy, clean = "ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"
    arrays = {name: loadmat(folder / f"{name}.mat")[name] for name in (noisy, clean)}
    savemat(folder / f"{noisy}.mat", {noisy: arrays[clean]})
    savemat(folder / f"{clean}.mat", {clean: arrays[noisy]})


def test_another_release_is_recognised_by_its_input_quality(sample_root, monkeypatch):
    entry = with_release(CATALOGUE["Rain100H"], pairs=3)
    monkeypatch.setitem(CATALOGUE, "Rain100H", entry)
    texts = [finding.text for finding in check_dataset("Rain100H", sample_root).findings]
    assert any("differ from the known release" in text for text in texts)
    assert any("another release: mean input PSNR" in text for text in texts)


# Several datasets.


def test_the_sample_has_no_overlap_of_training_and_test_images(sample_root):
    reports = [check_dataset(name, sample_root) for name in CATALOGUE]
    assert all(report.healthy for report in reports)
    assert find_overlaps(reports) == []


def test_an_overlap_of_training_and_test_images_is_reported(tmp_path):
    save(tmp_path / "BSD400/test_001.png", photograph("astronaut")[20:150, 30:160, 0])
    save(tmp_path / "BSD400/test_002.png", photograph("gravel")[:130, :130, 0])
    save(tmp_path / "Set11/lena.tif", photograph("chelsea")[:128, :128, 0])
    save(tmp_path / "Set11/eileen.tif", photograph("astronaut")[..., 0])
    reports = [check_dataset(name, tmp_path) for name in ("Set11", "BSD400")]
    (overlap,) = find_overlaps(reports)
    assert overlap.shared == (("eileen", "test_001"),)
    assert "1 of 2 photographs of Set11 are also in BSD400" in overlap.text()


def test_photographs_of_two_test_sets_are_noted_and_are_no_leak(tmp_path):
    save(tmp_path / "BSD68/test001.png", photograph("astronaut")[20:150, 30:160, 0])
    save(tmp_path / "BSD68/test002.png", photograph("gravel")[:130, :130, 0])
    save(tmp_path / "Set11/lena.tif", photograph("chelsea")[:128, :128, 0])
    save(tmp_path / "Set11/eileen.tif", photograph("astronaut")[..., 0])
    reports = [check_dataset(name, tmp_path) for name in ("Set11", "BSD68")]
    assert find_overlaps(reports) == []
    (shared,) = find_shared_photographs(reports)
    assert shared.text() == (
        "1 of the 2 images of Set11 and 1 of the 2 of BSD68 show the same photographs"
        " (eileen = test001); both are test sets"
    )
    arguments = ["check", "--root", str(tmp_path), "--out"]
    for name in ("r.json", "r.html"):
        result = CliRunner().invoke(data, [*arguments, str(tmp_path / name)])
        assert result.exit_code == 0
        assert f"note: {shared.text()}" in result.stdout
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["shared_by_test_sets"][0]["shared"] == [["eileen", "test001"]]
    assert content["overlaps"] == []
    assert "eileen = test001" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("scale", [0.5, 0.77, 1.6])
def test_a_resized_copy_is_reported_as_an_overlap(tmp_path, scale):
    names = ("astronaut", "coffee", "gravel", "grass", "brick")
    for number, name in enumerate(names):
        save(tmp_path / f"BSD400/test_{number:03}.png", photograph(name)[..., 0])
    copy = Image.fromarray(photograph("coffee")[..., 0])
    width, height = (round(side * scale) for side in copy.size)
    save(tmp_path / "Set11/lena.tif", np.asarray(copy.resize((width, height), Image.BICUBIC)))
    save(tmp_path / "Set11/other.tif", photograph("chelsea")[..., 0])
    save(tmp_path / "Set11/plain.tif", np.full((99, 99), 7, np.uint8))
    (overlap,) = find_overlaps(check_dataset(name, tmp_path) for name in ("Set11", "BSD400"))
    assert overlap.shared == (("lena", "test_001"),)
    assert overlap.turned == ()


def test_mirrored_overlaps_and_rotated_repetitions_are_found(tmp_path):
    coffee = photograph("coffee")[..., 0]
    save(tmp_path / "BSD400/test_001.png", photograph("gravel")[:130, :130, 0])
    save(tmp_path / "BSD400/test_002.png", coffee)
    save(tmp_path / "BSD400/test_003.png", np.rot90(coffee))
    save(tmp_path / "Set11/lena.tif", coffee[:, ::-1])
    small = Image.fromarray(coffee[::-1]).resize((300, 200), Image.BICUBIC)
    save(tmp_path / "Set11/other.tif", np.asarray(small))
    reports = [check_dataset(name, tmp_path) for name in ("Set11", "BSD400")]
    assert reports[1].distinct == 2
    (overlap,) = find_overlaps(reports)
    assert {test for test, _ in overlap.turned} == {"lena", "other"}
    assert "2 of them mirrored or rotated" in overlap.text()


def test_the_report_is_written_as_json_and_as_escaped_html(tmp_path, sample_root):
    report = check_dataset("Set11", sample_root)
    report.add("note", "<script>")
    report.repeated = [["<b>", "one"], ["three", "four"]]
    leak = Overlap("BSD400", "Set11", tuple((f"image {n}", "<i>") for n in range(5)), 11)
    assert leak.text() == (
        "5 of 11 photographs of Set11 are also in BSD400 (image 0 = <i>, image 1 = <i>,"
        " image 2 = <i>, ...), as 1 distinct image"
    )
    write_report([report], [leak], tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["sets"][0]["dataset"] == "Set11"
    assert content["sets"][0]["findings"][-1] == {"level": "note", "text": "<script>"}
    assert content["sets"][0]["repeated"] == report.repeated
    assert len(content["overlaps"][0]["shared"]) == 5
    write_report([report], [leak], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "&lt;script&gt;" in page
    assert not any(tag in page for tag in ("<script>", "<b>one", "= <i>"))
    assert "&lt;b&gt; = one; three = four" in page
    assert "image 4 = &lt;i&gt;" in page, "the page lists all shared images"
    assert report.digest[:16] in page


def test_the_check_command_fails_only_for_a_bad_dataset(editable_copy):
    root = editable_copy("test/Set11")
    good = CliRunner().invoke(data, ["check", "--root", str(root)])
    assert good.exit_code == 0
    assert good.stdout.splitlines()[1].split()[:2] == ["Set11", "3/11"]
    strict = CliRunner().invoke(data, ["check", "--root", str(root), "--strict"])
    assert strict.exit_code == 1
    assert strict.stdout == good.stdout
    (root / "test/Set11/camera.tif").write_bytes(b"II")
    bad = CliRunner().invoke(data, ["check", "Set11", "--root", str(root)])
    assert bad.exit_code == 1
    assert "camera.tif" in bad.stdout


# Real datasets.


@pytest.mark.benchmarks_data
def test_the_real_datasets_are_recognised_and_their_overlaps_found(benchmarks, tmp_path):
    root = tmp_path / "root"
    (root / "Rain100H").mkdir(parents=True)
    (root / "Rain100H" / "input").symlink_to(benchmarks / "Rain100H" / "input")
    # Both datasets have the same clean images.
    (root / "Rain100H" / "target").symlink_to(benchmarks / "Rain100L" / "target")
    for name in ("Rain100L", "Set11", "BSD68", "BSD400"):
        (root / name).symlink_to(benchmarks / name)
    reports = {
        n: check_dataset(n, root) for n in ("Rain100H", "Rain100L", "Set11", "BSD68", "BSD400")
    }
    assert all(report.healthy and report.release for report in reports.values())
    assert reports["Rain100H"].input_psnr == pytest.approx(13.551, abs=5e-4)
    assert reports["Rain100L"].input_psnr == pytest.approx(26.900, abs=5e-4)
    assert reports["Rain100H"].distinct == reports["Rain100L"].distinct == 91
    overlaps = {(o.test, o.train): o for o in find_overlaps(reports.values())}
    assert set(overlaps) == {("Rain100H", "BSD400"), ("Rain100L", "BSD400")}
    assert len({train for _, train in overlaps["Rain100L", "BSD400"].shared}) == 67
    shared = {(s.first, s.second): s.shared for s in find_shared_photographs(reports.values())}
    assert set(shared) == {
        ("Rain100H", "Rain100L"),
        ("Rain100H", "BSD68"),
        ("Rain100L", "BSD68"),
    }
    assert len(shared["Rain100H", "Rain100L"]) == 100
    # 24 photographs, one of which is in Rain100L twice.
    assert len(shared["Rain100L", "BSD68"]) == 25
    assert len({second for _, second in shared["Rain100L", "BSD68"]}) == 24
    assert shared["Rain100L", "BSD68"] == shared["Rain100H", "BSD68"]


@pytest.mark.benchmarks_data
def test_the_first_pairs_of_rain13k_contain_two_test_images(benchmarks, tmp_path):
    (tmp_path / "Rain13K").symlink_to(benchmarks / "Rain13K_train_sample")
    (tmp_path / "Rain100L").symlink_to(benchmarks / "Rain100L")
    reports = [check_dataset(name, tmp_path) for name in ("Rain13K", "Rain100L")]
    assert reports[0].repeated == [["5", "11"]]
    (overlap,) = find_overlaps(reports)
    assert set(overlap.shared) == {("93", "12"), ("88", "13")}
    assert overlap.turned == ()
