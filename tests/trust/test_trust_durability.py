"""A power failure at any moment leaves the complete old or the complete new content."""

import pytest
from losing_disk import LosingDisk, at

from dgunet.system import files, leftovers, line_files


@pytest.fixture
def losing(tmp_path, monkeypatch):
    """Run a change on a disk that loses unflushed data, and check the value at a path."""

    def run(change, names, *, old, new):
        seen = []

        def check(view, returned):
            value = at(view, *names)
            seen.append(value)
            assert value == new if returned else value in (old, new), (value, returned)

        disk = LosingDisk(tmp_path, monkeypatch, check)
        disk.flush_all()
        with disk.watching():
            change()
        assert disk.points > 3
        return seen

    return run


def test_a_new_file_is_absent_or_complete(losing, tmp_path):
    losing(lambda: files.write_bytes(tmp_path / "a.json", b"new"), ["a.json"], old=None, new=b"new")


def test_a_file_is_replaced_by_a_complete_one(losing, tmp_path):
    (tmp_path / "a.json").write_bytes(b"old")
    seen = losing(
        lambda: files.write_bytes(tmp_path / "a.json", b"new"), ["a.json"], old=b"old", new=b"new"
    )
    assert b"old" in seen


def test_new_parent_folders_are_flushed_with_their_file(losing, tmp_path):
    path = tmp_path / "a" / "b" / "c.json"
    seen = losing(
        lambda: files.write_bytes(path, b"new"), ["a", "b", "c.json"], old=None, new=b"new"
    )
    assert None in seen


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def fill(folder):
    def change():
        with files.atomic_folder(folder) as work:
            (work / "x").write_bytes(b"1")
            (work / "deep").mkdir()
            (work / "deep" / "y").write_bytes(b"2")

    return change


FILLED = {"x": b"1", "deep": {"y": b"2"}}


def test_a_new_folder_is_absent_or_complete(losing, tmp_path):
    losing(fill(tmp_path / "set"), ["set"], old=None, new=FILLED)


def test_a_folder_replaces_another_atomically(losing, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x").write_bytes(b"old")
    seen = losing(fill(tmp_path / "set"), ["set"], old={"x": b"old"}, new=FILLED)
    assert {"x": b"old"} in seen
    assert names_in(tmp_path) == ["set"]


def test_without_rename_exchange_the_old_or_new_folder_always_exists(tmp_path, monkeypatch):
    """Either the old or the new folder exists at any moment, possibly under a temporary name."""
    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x").write_bytes(b"old")
    aside = []

    def check(view, returned):
        value = at(view, "set")
        if value is None:  # between the two renames
            (name,) = [name for name in view if name.endswith(".old")]
            value = view[name]
            aside.append(name)
        assert value in ({"x": b"old"}, FILLED)

    disk = LosingDisk(tmp_path, monkeypatch, check)
    disk.flush_all()
    with disk.watching():
        fill(tmp_path / "set")()
    assert aside
    assert names_in(tmp_path) == ["set"]


def test_an_old_folder_of_a_dead_process_is_moved_back(tmp_path, dead_name):
    aside = tmp_path / dead_name("set", "old")
    aside.mkdir()
    (aside / "x").write_bytes(b"old")
    leftovers.remove_dead(tmp_path)
    assert (tmp_path / "set" / "x").read_bytes() == b"old"


def test_an_appended_line_survives_a_power_failure(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    flushed = [b""]

    def check(view, returned):
        content = at(view, "log.jsonl") or b""
        assert content in (
            flushed[-1],
            flushed[-1] + line_files.format_line({"event": len(flushed)}),
        )
        assert not returned or content == flushed[-1]

    disk = LosingDisk(tmp_path, monkeypatch, check)
    disk.flush_all()
    with disk.watching(), line_files.open_log(path) as log:
        for number in range(1, 4):
            line_files.append_line(log, {"event": number})
            flushed.append(flushed[-1] + line_files.format_line({"event": number}))
            disk.fail(returned=True)


@pytest.mark.parametrize("lost", ["sync", "sync_tree"])
def test_the_simulated_disk_detects_a_missing_flush(losing, tmp_path, monkeypatch, lost):
    """The simulated disk detects a missing flush."""
    monkeypatch.setattr(files, lost, lambda path: None)
    with pytest.raises(AssertionError):
        losing(fill(tmp_path / "set"), ["set"], old=None, new=FILLED)
