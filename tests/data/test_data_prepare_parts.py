"""A store that is prepared in parts has the bytes of one process, whatever their number and end."""

import pytest

from dgunet.data.store import prepare as preparation
from dgunet.data.store.preparation_folder import beside_other_parts, exclusive
from dgunet.data.store.prepare import prepare_dataset, prepare_part
from dgunet.system.errors import DataError
from dgunet.system.parts import Part

NAME, SMALL = "Rain13K", 1
"""With files of one byte, every pair has a file of its own."""


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(sample_root, tmp_path_factory):
    """The files of the store that one process prepares."""
    out = tmp_path_factory.mktemp("whole") / "store"
    prepare_dataset(NAME, sample_root, out, profile="sample", workers=1, shard_bytes=SMALL)
    found = content(out)
    assert sum(name.endswith(".arrow") for name in found) >= 4
    return found


@pytest.fixture
def part_of(sample_root, tmp_path):
    """Prepare a part into the folder ``store``."""

    def made(number, count, **more):
        options = {"workers": 1, "shard_bytes": SMALL} | more
        return prepare_part(NAME, sample_root, tmp_path / "store", Part(number, count), **options)

    return made


@pytest.fixture
def merged(sample_root, tmp_path):
    """Merge the parts; gives the files."""

    def made():
        out = tmp_path / "store"
        prepare_dataset(NAME, sample_root, out, profile="sample", workers=1, shard_bytes=SMALL)
        return content(out)

    return made


@pytest.fixture
def written(monkeypatch):
    """Names of the files that were written, in order."""
    names, write = [], preparation.write_shard

    def noting(path, *arguments):
        names.append(path.name)
        return write(path, *arguments)

    monkeypatch.setattr(preparation, "write_shard", noting)
    return names


@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
def test_merged_parts_are_the_bytes_of_one_process(
    part_of, merged, written, whole, tmp_path, count
):
    files = [name for name in whole if name.endswith(".arrow")]
    assert len(files) < 40
    for number in range(count, 0, -1):
        before = len(written)
        last = part_of(number, count)
        wanted = Part(number, count).of(len(files))
        assert written[before:] == [files[index] for index in wanted]
        assert last.files == len(wanted)
    assert (last.done, last.total) == (len(files), len(files))
    assert sorted(written) == files, "every file is written once"
    assert merged() == whole
    assert len(written) == len(files), "the merge writes no file again"
    assert {path.name for path in tmp_path.iterdir()} <= {"store", ".store.lock"}


def test_a_killed_part_goes_on_after_its_last_file(part_of, merged, written, whole, monkeypatch):
    save = preparation.save_written

    def killed(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "save_written", killed)
    with pytest.raises(KeyboardInterrupt):
        part_of(2, 2)
    monkeypatch.setattr(preparation, "save_written", save)
    part_of(1, 2)
    before = list(written)
    part_of(2, 2)
    assert not set(written[len(before) :]) & set(before)
    assert merged() == whole


def test_the_merge_writes_what_no_part_has_written(part_of, merged, whole):
    part_of(2, 3)
    assert merged() == whole


def test_parts_and_the_whole_keep_each_other_out(part_of, merged, tmp_path):
    out = tmp_path / "store"
    busy = pytest.raises(DataError, match=r"is being prepared by process \d+ on")
    with beside_other_parts(out, Part(1, 2)), beside_other_parts(out, Part(2, 2)):
        with busy, exclusive(out):
            pass
        with busy:
            part_of(2, 2)
    with exclusive(out), busy:
        part_of(1, 2)


def test_parts_of_another_recipe_or_size_are_not_mixed(part_of, merged, whole):
    part_of(1, 2)
    with pytest.raises(DataError, match=r"\.store\.work has files of a preparation from other"):
        part_of(2, 2, layout="compact")
    part_of(2, 2)
    assert merged() == whole
