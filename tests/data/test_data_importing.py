"""Datasets are imported from folders and archives of any known layout."""

import shutil
from pathlib import Path

import pytest
from data_stores import with_release
from PIL import Image
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.acquisition.importing import import_dataset
from dgunet.data.catalogue.entries import CATALOGUE, dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.system.errors import DataError


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_dataset_is_imported_from_a_folder_that_holds_all(name, sample_root, tmp_path):
    imported = import_dataset(name, sample_root, tmp_path / "data")
    before, after = (read_pairs(dataset(name), root) for root in (sample_root, tmp_path / "data"))
    assert imported.pairs == len(after) == len(before)
    assert imported.published_pairs == dataset(name).pairs
    for old, new in zip(before, after, strict=True):
        assert old.id == new.id
        for a, b in ((old.input, new.input), (old.target, new.target)):
            if a is not None:
                assert b.path.read_bytes() == a.path.read_bytes()


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_datasets_nested_in_an_archive_are_imported(kind, sample_root, tmp_path):
    nested = tmp_path / "nested" / "my downloads" / "v1" / "Rain100H"
    shutil.copytree(sample_root / "test/Rain100H", nested)
    archive = shutil.make_archive(str(tmp_path / "ärchive"), kind, tmp_path / "nested")
    imported = import_dataset("Rain100H", tmp_path / archive, tmp_path / "data")
    assert (imported.pairs, imported.files) == (3, 6)
    assert imported.folder == tmp_path / "data/test/Rain100H"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["test"]


def test_a_dataset_with_another_name_is_recognised_by_its_number_of_pairs(
    sample_root, tmp_path, monkeypatch
):
    shutil.copytree(sample_root / "test/Rain100H", tmp_path / "some" / "folder")
    with pytest.raises(DataError, match="has 3 pairs instead of 100 and another name"):
        import_dataset("Rain100H", tmp_path / "some", tmp_path / "data")
    whole = with_release(CATALOGUE["Rain100H"], pairs=3)
    monkeypatch.setitem(CATALOGUE, "Rain100H", whole)
    assert import_dataset("Rain100H", tmp_path / "some", tmp_path / "data").pairs == 3


def test_a_part_with_another_name_is_imported_only_on_request(sample_root, tmp_path):
    source = tmp_path / "a few"
    shutil.copytree(sample_root / "train/Rain13K", source)
    with pytest.raises(DataError, match=r"a few could be Rain13K, but it has \d+ pairs .* --part"):
        import_dataset("Rain13K", source, tmp_path / "root")
    imported = import_dataset("Rain13K", source, tmp_path / "root", part=True)
    assert imported.folder == tmp_path / "root/train/Rain13K"
    assert imported.pairs < imported.published_pairs


def test_a_dataset_is_never_mistaken_for_another(sample_root, tmp_path):
    shutil.copytree(sample_root / "test/Rain100L", tmp_path / "in" / "Rain100L")
    for name in ("Rain100H", "BSD68"):
        with pytest.raises(DataError, match=f"does not hold {name}"):
            import_dataset(name, tmp_path / "in", tmp_path / "data")
        with pytest.raises(DataError, match=f"does not hold {name}"):
            import_dataset(name, tmp_path / "in" / "Rain100L", tmp_path / "data")


def test_files_that_do_not_belong_to_the_dataset_are_not_imported(sample_root, tmp_path):
    imported = import_dataset("GoPro", sample_root, tmp_path)
    folders = {path.parent.name for path in imported.folder.rglob("*.png")}
    assert folders == {"blur", "sharp"}


def realblur(folder):
    """Write RealBlur-J and RealBlur-R in one folder, as published."""
    for kind in "JR":
        scene = folder / "RealBlur" / f"RealBlur-{kind}_aligned" / "scene001"
        for half, name in (("gt", "gt_1.png"), ("blur", "blur_1.png")):
            (scene / half).mkdir(parents=True)
            Image.new("RGB", (16, 16), (ord(kind), 0, 0)).save(scene / half / name)
        (folder / "RealBlur" / f"RealBlur_{kind}_test_list.txt").write_text(
            f"RealBlur-{kind}_aligned/scene001/gt/gt_1.png"
            f" RealBlur-{kind}_aligned/scene001/blur/blur_1.png\n"
        )


@pytest.mark.parametrize("order", ["JR", "RJ"])
def test_two_datasets_of_one_archive_are_imported_one_after_the_other(order, tmp_path):
    realblur(tmp_path / "in")
    for kind in order:
        import_dataset(f"RealBlur-{kind}", tmp_path / "in", tmp_path / "data")
        with pytest.raises(DataError, match="already exists"):
            import_dataset(f"RealBlur-{kind}", tmp_path / "in", tmp_path / "data")
    for kind in order:
        (pair,) = read_pairs(dataset(f"RealBlur-{kind}"), tmp_path / "data")
        assert pair.input.load()[0, 0, 0] == ord(kind)


def test_copies_are_imported_under_the_official_name(sample_root, tmp_path):
    shutil.copytree(sample_root / "train/BSD400", tmp_path / "in/Train400")
    imported = import_dataset("BSD400", tmp_path / "in", tmp_path / "data")
    assert imported.folder == tmp_path / "data/train/BSD400"


def test_images_of_a_two_part_dataset_need_its_folder_name(sample_root, tmp_path, monkeypatch):
    """Otherwise the inputs of a dataset with incomplete targets would be accepted."""
    whole = with_release(CATALOGUE["Test1200"], pairs=3)
    monkeypatch.setitem(CATALOGUE, "Test1200", whole)
    for name in ("some", "DID-MDN-test"):
        shutil.copytree(sample_root / "test/Test1200/input", tmp_path / name / name)
    with pytest.raises(DataError, match="does not hold Test1200"):
        import_dataset("Test1200", tmp_path / "some", tmp_path / "data")
    imported = import_dataset("Test1200", tmp_path / "DID-MDN-test", tmp_path / "data")
    assert imported.folder == tmp_path / "data/test/DID-MDN-test"


@pytest.mark.parametrize("folder", ["Rain100H", "R100H"])
def test_copies_of_paired_datasets_get_the_official_folders(folder, sample_root, tmp_path):
    source = sample_root / "test/Rain100H"
    names = {"Rain100H": ("rainy/rain-", "norain-"), "R100H": ("inputcrop/", "cleancrop/")}
    for half, name in zip(("input", "target"), names[folder], strict=True):
        for path in (source / half).iterdir():
            copy = tmp_path / "in" / folder / f"{name}{path.name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    imported = import_dataset("Rain100H", tmp_path / "in", tmp_path / "data")
    assert imported.folder == tmp_path / "data/test/Rain100H"
    for half in ("input", "target"):
        copies = {path.name: path.read_bytes() for path in (imported.folder / half).iterdir()}
        assert copies == {path.name: path.read_bytes() for path in (source / half).iterdir()}


def test_a_wrong_release_is_reported_during_import(sample_root, tmp_path):
    source = sample_root / "test/GOPRO_Large/test"
    for half, kind in (("input", "blur_gamma"), ("target", "sharp")):
        (tmp_path / "in/GoPro/test" / half).mkdir(parents=True)
        for path in source.glob(f"*/{kind}/*.png"):
            name = f"{path.parents[1].name}-{path.name}"
            shutil.copyfile(path, tmp_path / "in/GoPro/test" / half / name)
    imported = import_dataset("GoPro", tmp_path / "in", tmp_path / "data")
    (remark,) = imported.remarks()
    assert remark.startswith("GoPro: warning: another release: inputs are +")
    assert import_dataset("GoPro", sample_root, tmp_path / "right").remarks() == []


def test_links_inside_an_archive_are_imported_as_files(sample_root, tmp_path):
    folder = tmp_path / "in" / "BSD68"
    shutil.copytree(sample_root / "test/BSD68", folder)
    (folder / "test900.png").symlink_to("test001.png")
    archive = shutil.make_archive(str(tmp_path / "a"), "tar", tmp_path / "in")
    imported = import_dataset("BSD68", Path(archive), tmp_path / "data")
    assert imported.pairs == 4
    assert not any(path.is_symlink() for path in imported.folder.iterdir())
    (folder / "test901.png").symlink_to("nothing.png")
    with pytest.raises(DataError, match=r"test901\.png is a dangling link"):
        import_dataset("BSD68", tmp_path / "in", tmp_path / "other")


def test_a_dataset_can_be_imported_by_one_of_its_matlab_files(sample_root, tmp_path):
    source = sample_root / "test/SIDD/ValidationNoisyBlocksSrgb.mat"
    assert import_dataset("SIDD", source, tmp_path / "data").files == 2


def test_a_folder_can_be_given_as_a_relative_path(sample_root, tmp_path, monkeypatch):
    monkeypatch.chdir(sample_root / "test")
    assert import_dataset("Rain100H", Path("Rain100H"), tmp_path / "a").pairs == 3
    monkeypatch.chdir(sample_root / "test/Rain100H")
    assert import_dataset("Rain100H", Path(), tmp_path / "b").pairs == 3


def test_the_import_command(sample_root, tmp_path):
    arguments = ["import", "Set11", str(sample_root), "--root", str(tmp_path / "data")]
    result = CliRunner().invoke(data, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Set11: 3 of 11 pairs, 3 files in ")


@pytest.mark.benchmarks_data
def test_the_real_datasets_are_imported(benchmarks, tmp_path):
    for name in ("Rain100L", "Set11", "BSD68"):
        imported = import_dataset(name, benchmarks, tmp_path / "data")
        assert (imported.pairs, imported.doubts) == (dataset(name).pairs, ())
        assert imported.release == dataset(name).published_release.name
