"""Importing: any nesting, any known tree, nothing outside, nothing by half."""

import io
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.acquisition.importing import import_dataset
from dgunet.data.catalogue.entries import CATALOGUE, dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.store.prepare import prepare_dataset
from dgunet.system.errors import DataError, DgunetError


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_set_comes_in_from_the_folder_of_all(name, sample_root, tmp_path):
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
def test_archives_with_folders_around(kind, sample_root, tmp_path):
    nested = tmp_path / "nested" / "my downloads" / "v1" / "Rain100H"
    shutil.copytree(sample_root / "test/Rain100H", nested)
    archive = shutil.make_archive(str(tmp_path / "ärchive"), kind, tmp_path / "nested")
    imported = import_dataset("Rain100H", tmp_path / archive, tmp_path / "data")
    assert (imported.pairs, imported.files) == (3, 6)
    assert imported.folder == tmp_path / "data/test/Rain100H"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["test"]


def test_a_set_under_another_name_is_recognised_by_its_number_of_pairs(
    sample_root, tmp_path, monkeypatch
):
    shutil.copytree(sample_root / "test/Rain100H", tmp_path / "some" / "folder")
    with pytest.raises(DataError, match="has 3 pairs instead of 100 and another name"):
        import_dataset("Rain100H", tmp_path / "some", tmp_path / "data")
    whole = CATALOGUE["Rain100H"].model_copy(update={"pairs": 3})
    monkeypatch.setitem(CATALOGUE, "Rain100H", whole)
    assert import_dataset("Rain100H", tmp_path / "some", tmp_path / "data").pairs == 3


def test_a_part_under_another_name_is_taken_only_when_asked_for(sample_root, tmp_path):
    source = tmp_path / "a few"
    shutil.copytree(sample_root / "train/Rain13K", source)
    with pytest.raises(DataError, match=r"a few could be Rain13K, but it has \d+ pairs .* --part"):
        import_dataset("Rain13K", source, tmp_path / "root")
    imported = import_dataset("Rain13K", source, tmp_path / "root", part=True)
    assert imported.folder == tmp_path / "root/train/Rain13K"
    assert imported.pairs < imported.published_pairs


def test_a_set_is_never_taken_for_another(sample_root, tmp_path):
    shutil.copytree(sample_root / "test/Rain100L", tmp_path / "in" / "Rain100L")
    for name in ("Rain100H", "BSD68"):
        with pytest.raises(DataError, match=f"does not hold {name}"):
            import_dataset(name, tmp_path / "in", tmp_path / "data")
        with pytest.raises(DataError, match=f"does not hold {name}"):
            import_dataset(name, tmp_path / "in" / "Rain100L", tmp_path / "data")


def test_what_does_not_belong_to_the_set_is_left(sample_root, tmp_path):
    imported = import_dataset("GoPro", sample_root, tmp_path)
    folders = {path.parent.name for path in imported.folder.rglob("*.png")}
    assert folders == {"blur", "sharp"}


def realblur(folder):
    """An archive's folder as it is published: RealBlur-J and RealBlur-R together."""
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
def test_two_sets_of_one_archive_come_in_one_after_the_other(order, tmp_path):
    realblur(tmp_path / "in")
    for kind in order:
        import_dataset(f"RealBlur-{kind}", tmp_path / "in", tmp_path / "data")
        with pytest.raises(DataError, match="already exists"):
            import_dataset(f"RealBlur-{kind}", tmp_path / "in", tmp_path / "data")
    for kind in order:
        (pair,) = read_pairs(dataset(f"RealBlur-{kind}"), tmp_path / "data")
        assert pair.input.load()[0, 0, 0] == ord(kind)


def test_copies_are_kept_under_the_official_name(sample_root, tmp_path):
    shutil.copytree(sample_root / "train/BSD400", tmp_path / "in/Train400")
    imported = import_dataset("BSD400", tmp_path / "in", tmp_path / "data")
    assert imported.folder == tmp_path / "data/train/BSD400"


def test_images_of_two_halves_need_their_name(sample_root, tmp_path, monkeypatch):
    """Else the inputs of a set whose targets are incomplete would do."""
    whole = CATALOGUE["Test1200"].model_copy(update={"pairs": 3})
    monkeypatch.setitem(CATALOGUE, "Test1200", whole)
    for name in ("some", "DID-MDN-test"):
        shutil.copytree(sample_root / "test/Test1200/input", tmp_path / name / name)
    with pytest.raises(DataError, match="does not hold Test1200"):
        import_dataset("Test1200", tmp_path / "some", tmp_path / "data")
    imported = import_dataset("Test1200", tmp_path / "DID-MDN-test", tmp_path / "data")
    assert imported.folder == tmp_path / "data/test/DID-MDN-test"


@pytest.mark.parametrize("folder", ["Rain100H", "R100H"])
def test_copies_of_paired_sets_get_the_official_folders(folder, sample_root, tmp_path):
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


def test_the_wrong_release_is_reported_on_the_way_in(sample_root, tmp_path):
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


# What can be wrong.


def test_a_missing_partner_is_named_and_nothing_stays(spoil, tmp_path):
    root = spoil("test/Rain100H")
    (root / "test/Rain100H/target/2.png").unlink()
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", root)
    with pytest.raises(DataError, match=r"a\.zip/test/Rain100H/input/2\.png has no clean target"):
        import_dataset("Rain100H", tmp_path / archive, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_sizes_that_differ_are_reported_before_anything_is_copied(spoil, tmp_path):
    root = spoil("test/Rain100H")
    path = root / "test/Rain100H/target/2.png"
    with Image.open(path) as image:
        image.crop((0, 0, 96, 88)).save(path)
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", root)
    with pytest.raises(DataError, match=r"a\.zip/test/Rain100H/input/2\.png is 128x96 .* 96x88"):
        import_dataset("Rain100H", Path(archive), tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_set_that_is_there_already_stays(sample_root, tmp_path):
    import_dataset("Set11", sample_root, tmp_path)
    with pytest.raises(DataError, match="already exists"):
        import_dataset("Set11", sample_root, tmp_path)


@pytest.mark.parametrize("member", ["../evil.png", "/tmp/dgunet-evil.png", "a/../../evil.png"])
def test_a_zip_that_reaches_outside_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as handle:
        handle.writestr(member, b"x")
    with pytest.raises(DataError, match="outside its folder"):
        import_dataset("Set11", tmp_path / "a.zip", tmp_path / "data")
    assert not list(tmp_path.rglob("evil.png"))


def test_a_zip_with_a_link_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as handle:
        entry = zipfile.ZipInfo("Set11/camera.tif")
        entry.external_attr = 0o120777 << 16
        handle.writestr(entry, "/etc/hostname")
    with pytest.raises(DataError, match="outside its folder"):
        import_dataset("Set11", tmp_path / "a.zip", tmp_path / "data")


@pytest.mark.parametrize("member", ["../evil.png", "/abs/evil.png", "link"])
def test_a_tar_that_reaches_outside_is_refused_or_kept_inside(tmp_path, member):
    with tarfile.open(tmp_path / "a.tar", "w") as handle:
        entry = tarfile.TarInfo(member)
        if member == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "../../evil.png"
            handle.addfile(entry)
        else:
            entry.size = 1
            handle.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(DataError):
        import_dataset("Set11", tmp_path / "a.tar", tmp_path / "data")
    assert not list(tmp_path.rglob("evil.png"))


def test_a_link_that_leads_out_of_the_folder_is_refused(sample_root, tmp_path):
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(secret)
    shutil.copytree(sample_root / "test/BSD68", tmp_path / "in" / "BSD68")
    (tmp_path / "in/BSD68/test004.png").symlink_to(secret)
    with pytest.raises(DataError, match=r"test004\.png is a link that points outside"):
        import_dataset("BSD68", tmp_path / "in", tmp_path / "data")
    assert not (tmp_path / "data" / "test").exists()


def test_damaged_archives_and_other_files(sample_root, tmp_path):
    archive = tmp_path / shutil.make_archive(
        str(tmp_path / "a"), "gztar", sample_root / "test/Set11"
    )
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(DataError, match="is damaged"):
        import_dataset("Set11", archive, tmp_path / "data")
    (tmp_path / "b.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match="neither a folder nor a zip or tar"):
        import_dataset("Set11", tmp_path / "b.rar", tmp_path / "data")
    with pytest.raises(DataError, match="does not exist"):
        import_dataset("Set11", tmp_path / "nowhere", tmp_path / "data")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_an_archive_with_spoilt_bytes_is_named(kind, sample_root, tmp_path):
    name = shutil.make_archive(str(tmp_path / "a"), kind, sample_root / "test", "Set11")
    archive = Path(name)
    content = bytearray(archive.read_bytes())
    for place in range(600, len(content) - 600, 200):
        content[place] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DataError):  # a plain tar has no check of its files' bytes: they do not read
        import_dataset("Set11", archive, tmp_path / "data")
        prepare_dataset("Set11", tmp_path / "data", tmp_path / "store", profile="sample")
    assert kind == "tar" or not list((tmp_path / "data").iterdir())


def test_a_locked_zip_is_named(sample_root, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", sample_root / "test", "Set11"))
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as handle:
        entries = [m for m in handle.infolist() if m.filename.endswith(".tif")]
    for entry in entries:
        content[entry.header_offset + 6] |= 1  # the flag of encryption, in both directories
    place = content.find(b"PK\x01\x02")
    while place >= 0:
        content[place + 8] |= 1
        place = content.find(b"PK\x01\x02", place + 1)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked here .* Unpack it yourself"):
        import_dataset("Set11", archive, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_zip_that_will_not_fit_is_not_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as handle:
        handle.writestr("Set11/a.tif", bytes(5_000_000))
    small = shutil.disk_usage(tmp_path)._replace(free=4_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: small)
    with pytest.raises(DgunetError, match="free"):
        import_dataset("Set11", tmp_path / "a.zip", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_links_inside_an_archive_become_files(sample_root, tmp_path):
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


def test_one_of_the_matlab_files_names_the_set(sample_root, tmp_path):
    source = sample_root / "test/SIDD/ValidationNoisyBlocksSrgb.mat"
    assert import_dataset("SIDD", source, tmp_path / "data").files == 2


def test_a_folder_may_be_named_from_where_one_stands(sample_root, tmp_path, monkeypatch):
    monkeypatch.chdir(sample_root / "test")
    assert import_dataset("Rain100H", Path("Rain100H"), tmp_path / "a").pairs == 3
    monkeypatch.chdir(sample_root / "test/Rain100H")
    assert import_dataset("Rain100H", Path(), tmp_path / "b").pairs == 3


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from dgunet.data.acquisition.importing import import_dataset

copy, copied = shutil.copyfile, []

def copyfile(*arguments):
    if len(copied) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    copied.append(copy(*arguments))

shutil.copyfile = copyfile
import_dataset("Rain100H", Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_import_leaves_nothing_that_is_trusted(sample_root, tmp_path):
    command = [sys.executable, "-c", KILLED, str(sample_root), str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (left,) = (tmp_path / "test").iterdir()
    assert fnmatch(left.name, ".*.partial"), "as .dvcignore has it"
    with pytest.raises(DataError, match="Rain100H is not under"):
        read_pairs(dataset("Rain100H"), tmp_path)
    assert import_dataset("Rain100H", sample_root, tmp_path).pairs == 3


def test_of_two_imports_at_once_one_wins(sample_root, tmp_path, monkeypatch):
    copy = shutil.copyfile

    def copyfile(source, place):
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", copy)
            if not (tmp_path / "test/Set11").exists():
                import_dataset("Set11", sample_root, tmp_path)
        return copy(source, place)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(DataError, match="already exists"):
        import_dataset("Set11", sample_root, tmp_path)
    assert [path.name for path in (tmp_path / "test").iterdir()] == ["Set11"]
    assert len(read_pairs(dataset("Set11"), tmp_path)) == 3


def test_the_verb(sample_root, tmp_path):
    arguments = ["import", "Set11", str(sample_root), "--root", str(tmp_path / "data")]
    result = CliRunner().invoke(data, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Set11: 3 of 11 pairs, 3 files in ")


@pytest.mark.benchmarks_data
def test_the_real_sets_come_in(benchmarks, tmp_path):
    for name in ("Rain100L", "Set11", "BSD68"):
        imported = import_dataset(name, benchmarks, tmp_path / "data")
        assert (imported.pairs, imported.doubts) == (dataset(name).pairs, ())
        assert imported.release == dataset(name).known[0].what
