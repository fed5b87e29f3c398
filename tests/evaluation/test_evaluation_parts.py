"""An evaluation in parts gives the bytes of one process, whatever their number and their ends."""

import pytest
from evaluation_stand_ins import (
    MemoryStore,
    Smooth,
    box_store,
    evaluate_store,
    merge,
    place_for,
    records,
    unfinished,
    work_of,
)

from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.runner import count_done, score_part
from dgunet.evaluation.unfinished import alone, beside_other_parts
from dgunet.system.errors import ConfigError, EvaluationError
from dgunet.system.parts import Part

RAIN = protocol("rain-y")
SETTINGS = Settings(row="DGUNet", checkpoint_sha256="c" * 64, keep_images=1)
IMAGES = 4


@pytest.fixture(scope="module")
def store():
    return MemoryStore(records(IMAGES))


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """The files of the evaluation in one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    evaluate_store(
        Smooth(), store, RAIN, out, checkpoint_sha256="c" * 64, keep_images=SETTINGS.keep_images
    )
    found = content(out)
    assert {"per_image.parquet", "summary.json", "SHA256SUMS"} < set(found)
    assert sum(name.endswith(".png") for name in found) == 3, "the first is the worst"
    return found


def score(store, out, part, network=None, on_row=None, note=pytest.fail):
    """Score one part as `run_part` does."""
    work = work_of(store, RAIN, out, SETTINGS)
    with beside_other_parts(place_for(store, RAIN, out, SETTINGS), out):
        score_part(network or Smooth(), store, RAIN, work, SETTINGS, part, on_row=on_row, note=note)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_merged_parts_are_the_bytes_of_one_process(store, whole, tmp_path, count):
    out = tmp_path / "out"
    for number in range(count, 0, -1):
        score(store, out, Part(number, count))
    reads = len(store.reads)
    merge(store, RAIN, out, SETTINGS)
    assert content(out) == whole
    assert len(unscored(store.reads[reads:])) == 0, "the merge restores nothing again"
    assert not any(unfinished(out).iterdir()), "nothing is left of the parts"


def unscored(reads):
    """Images whose pixels were read; the names of all are read once for the check of the rows."""
    return [index for index in reads if reads.count(index) > 1]


class Killed(Exception):
    pass


def test_a_killed_part_goes_on_and_other_parts_are_not_touched(store, whole, tmp_path):
    out, seen = tmp_path / "out", []
    score(store, out, Part(1, 2))

    def kill(row, done, total):
        seen.append((row.id, done, total))
        raise Killed

    with pytest.raises(Killed):
        score(store, out, Part(2, 2), on_row=kill)
    assert seen == [("3", 1, 2)]
    with pytest.raises(EvaluationError, match="1 of 4 images of Rain100L are not scored"):
        merge(store, RAIN, out, SETTINGS)
    assert not out.exists()
    score(store, out, Part(2, 2), on_row=lambda row, *of: seen.append((row.id, *of)))
    assert seen[1:] == [("4", 2, 2)], "the scored image is not scored again"
    merge(store, RAIN, out, SETTINGS)
    assert content(out) == whole


def test_parts_of_another_number_of_parts_are_used(store, whole, tmp_path):
    out, seen = tmp_path / "out", []
    score(store, out, Part(1, 2))
    for number in (1, 2, 3):
        score(store, out, Part(number, 3), on_row=lambda row, *of: seen.append(row.id))
    assert seen == ["3", "4"]
    merge(store, RAIN, out, SETTINGS)
    assert content(out) == whole


def test_the_boxes_of_dnd_are_bundled_from_all_parts(tmp_path):
    boxes, rules = box_store(), protocol("dnd-server")
    settings = Settings(row="DGUNet", checkpoint_sha256="c" * 64)
    one, two = tmp_path / "one", tmp_path / "two"
    evaluate_store(Smooth(), boxes, rules, one, checkpoint_sha256="c" * 64)
    for number in (1, 2, 3):
        work = work_of(boxes, rules, two, settings)
        score_part(Smooth(), boxes, rules, work, settings, Part(number, 3))
    merge(boxes, rules, two, settings)
    assert content(one) == content(two)


def test_parts_hold_their_lock_together_and_keep_a_whole_evaluation_out(store, tmp_path):
    out, place = tmp_path / "out", place_for(store, RAIN, tmp_path / "out", SETTINGS)
    refused = pytest.raises(EvaluationError, match="is being evaluated by process")
    first, second = (beside_other_parts(place, out) for _ in range(2))
    with first, second, refused, alone(place, out):
        pass
    with alone(place, out), refused, beside_other_parts(place, out):
        pass
    assert not place.exists()


def test_a_row_that_another_part_is_writing_is_not_called_damaged(store, tmp_path):
    out = tmp_path / "out"
    score(store, out, Part(1, 2))
    work = work_of(store, RAIN, out, SETTINGS)
    other = work / "part-2-of-2.jsonl"
    score(store, out, Part(2, 2))
    other.write_bytes(other.read_bytes()[:-20])
    score(store, out, Part(1, 2), note=pytest.fail)
    assert count_done(store, RAIN, work, SETTINGS, note=pytest.fail) == IMAGES - 1
    score(store, out, Part(2, 2))
    assert count_done(store, RAIN, work, SETTINGS) == IMAGES


def test_the_ranges_of_all_parts_are_the_list():
    for length in (0, 1, 4, 2_800):
        for count in (1, 2, 3, 5, 7):
            ranges = [Part(number, count).of(length) for number in range(1, count + 1)]
            assert [index for each in ranges for index in each] == list(range(length))
            assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "2", "a/b", "1/99999", "-1/2", "1/2/3"])
def test_a_part_that_does_not_exist_is_refused(text):
    with pytest.raises(ConfigError, match="part"):
        Part.parse(text)
    assert str(Part.parse("2/4")) == "part 2 of 4"
