"""Untrusted pair lists and imported files: nothing outside the dataset is read or written."""

import stat

import pytest
from data_hostile import LIST, SCENE, packed, png, realblur, refused

from dgunet.data.acquisition.importing import import_dataset
from dgunet.data.catalogue.entries import dataset
from dgunet.data.readers.folder_layouts import read_pairs
from dgunet.data.readers.pair_lists import LINES
from dgunet.system.errors import DataError

NESTED = "a/b/c/"


def good_line(half=""):
    scene = SCENE.removeprefix("RealBlur/")
    return f"{half}{scene}/gt/gt_1.png {half}{scene}/blur/blur_1.png"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_list_that_names_files_outside_the_dataset_writes_nothing(kind, tmp_path):
    up = "../../../../x/y"
    members = realblur(f"{good_line()}\n{up}/gt.png {up}/blur.png\n")
    members = {NESTED + name: content for name, content in members.items()}
    members |= {"x/y/gt.png": png(), "x/y/blur.png": png()}
    archive = packed(tmp_path, kind, members)
    reported = refused(r"RealBlur_J_test_list\.txt, line 2 names", archive, tmp_path)
    assert "leads out of its folder" in reported
    assert "\n" not in reported


def test_a_list_in_a_folder_of_another_name_is_checked_too(tmp_path):
    members = {"some/" + LIST.rpartition("/")[2]: b"../a/b/gt.png ../a/b/blur.png\n"}
    archive = packed(tmp_path, "zip", members | {"a/b/gt.png": png(), "a/b/blur.png": png()})
    refused("line 1 names .* leads out of its folder", archive, tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/scene/gt/1.png", "is absolute"),
        ("C:/scene/gt/1.png", "drive letter"),
        ("a\\..\\..\\gt\\1.png", "backslash"),
        ("a/../../../1.png", "leads out"),
        ("scene/gt/\x011.png", "control character"),
        ("scene/gt/" + "n" * 300 + ".png", "too long"),
        (".git/hooks/x.png", "not an image"),
        ("../../../../.git/hooks/pre-commit", "leads out"),
        ("scene/gt/pre-commit", "not an image"),
        ("x.png", "is not in SCENE"),
    ],
)
def test_a_list_with_an_unsafe_path_is_refused(name, reason, tmp_path):
    archive = packed(tmp_path, "tar", realblur(f"{name} {name}\n"))
    reported = refused("line 1", archive, tmp_path)
    assert reason in reported


def test_a_list_that_leads_outside_through_a_folder_link_is_refused(tmp_path):
    (tmp_path / "given").mkdir()
    for name, content in realblur("scene/gt/1.png scene/blur/1.png\n").items():
        path = tmp_path / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for half in ("gt", "blur"):
        (tmp_path / "elsewhere" / half).mkdir(parents=True)
        (tmp_path / "elsewhere" / half / "1.png").write_bytes(png())
    (tmp_path / "given/RealBlur/scene").symlink_to(tmp_path / "elsewhere")
    refused("line 1 names .* through a link", tmp_path / "given", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a/gt/1.png \xff\xfe\n", r"list\.txt, line 1: byte 0xff is not UTF-8"),
        (good_line().encode() + b"\n" + b"x" * 5000, r"line 2: it has 5,000 characters"),
        (b"only-one-path.png\n", "line 1: .* is not two paths"),
        (b"a\0b\n", "line 1: it contains a NUL"),
        (b"\n" * (LINES + 1), "lines, at most"),
        (f"{good_line()}\n{good_line()}\n".encode(), "line 2: .* is listed twice"),
    ],
)
def test_an_unreadable_list_gives_a_one_line_error(text, message, tmp_path):
    reported = refused(message, packed(tmp_path, "zip", realblur(text)), tmp_path)
    assert len(reported) < 600


def test_a_list_with_a_byte_order_mark_and_crlf_is_read(tmp_path):
    archive = packed(tmp_path, "zip", realblur(f"\ufeff{good_line()}\r\n"))
    assert import_dataset("RealBlur-J", archive, tmp_path / "root").pairs == 1


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_imported_files_are_not_executable(kind, tmp_path):
    archive = packed(tmp_path, kind, realblur(good_line(), **{"RealBlur/run": b"#!"}), mode=0o4755)
    folder = import_dataset("RealBlur-J", archive, tmp_path / "root").folder
    plain = tmp_path / "plain"
    plain.touch()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*.*")}
    assert len([path for path in modes if path.is_file()]) == 3
    assert {modes[path] for path in modes if path.is_file()} == {stat.S_IMODE(plain.stat().st_mode)}
    assert not (folder / "run").exists()


def test_executable_images_are_imported_without_the_permission(tmp_path):
    for number in range(3):
        path = tmp_path / f"given/Set11/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(colour=(number, 0, 0)))
        path.chmod(0o755)
    folder = import_dataset("Set11", tmp_path / "given", tmp_path / "root").folder
    assert not any(path.stat().st_mode & 0o111 for path in folder.iterdir())


SCRIPT = b"P3\n#!/bin/sh\n1 1\n255\n0 0 0\n"


@pytest.mark.parametrize("content", [SCRIPT, b"GIF89a", b"%!PS-Adobe\n%%BoundingBox: 0 0 1 1\n"])
def test_files_whose_content_is_no_image_are_refused(content, tmp_path):
    archive = packed(tmp_path, "zip", {"Set11/x.png": content}, mode=0o755)
    refused(r"archive\.zip/Set11/x\.png is not a readable image", archive, tmp_path, "Set11")


def test_read_pairs_checks_the_list_of_an_existing_tree(tmp_path):
    for name, content in realblur("../../x/y/gt.png ../../x/y/blur.png").items():
        path = tmp_path / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"line 1 names .* leads out"):
        read_pairs(dataset("RealBlur-J"), tmp_path)
