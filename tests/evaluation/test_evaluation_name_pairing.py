"""Names of results and targets: the rules, ambiguity, and the file of pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgunet.evaluation.name_pairing import pair_names, read_pairs_file
from dgunet.system.errors import EvaluationError


def paired(restored, targets, **options):
    return pair_names({n: n for n in restored}, {n: n for n in targets}, **options)


@pytest.mark.parametrize(
    ("restored", "targets", "rule"),
    [
        (["1", "2", "10"], ["1", "2", "10"], "same name"),
        (["barbara", "House"], ["Barbara", "house"], "without regard to case"),
        (["rain-1", "rain-2"], ["norain-1", "norain-2"], "common beginning"),
        (["1_out", "10_out", "100_out"], ["1", "10", "100"], "common beginning"),
        (["001", "010", "100"], ["1", "10", "100"], "by value"),
        (["rain-001", "rain-002"], ["norain-1", "norain-2"], "by value"),
        (["barbara_ISTA", "boats_ISTA"], ["Barbara", "boats"], "common beginning"),
        (["a.tif_SSIM_0.93", "b.tif_SSIM_0.9"], ["a", "b"], "at the beginning"),
        (["barbara_x"], ["barbara"], "at the beginning"),
        (["GOPR/000001", "GOPR/000002"], ["gopr/1", "gopr/2"], "by value"),
    ],
)
def test_names_that_methods_changed_are_paired(restored, targets, rule):
    found = paired(restored[::-1], targets)
    assert rule in found.rule
    assert found.pairs == tuple(zip(restored, targets, strict=True))
    assert restored[0] in found.describe()


@pytest.mark.parametrize(
    ("restored", "targets"),
    [
        (["1", "2"], ["1", "3"]),
        (["Barbara", "barbara"], ["BARBARA", "house"]),  # two results for one target
        (["1", "01"], ["001", "2"]),
        (["rain-1"], ["norain-1"]),  # one pair shares everything and nothing
        (["a_1", "b_1"], ["c", "d"]),
        (["10", "20"], ["1", "2"]),  # a common 0 is a part of the numbers
        (["1_a", "1_b"], ["1", "2"]),
    ],
)
def test_names_without_a_unique_matching_are_refused(restored, targets):
    with pytest.raises(EvaluationError, match=r"without a target.*--pairs"):
        paired(restored, targets)


def test_a_part_of_the_targets_needs_partial():
    with pytest.raises(EvaluationError, match="targets without a restored image: 1 of 3"):
        paired(["1", "2"], ["1", "2", "3"])
    assert paired(["1_x", "3_x"], ["1", "2", "3"], partial=True).pairs == (
        ("1_x", "1"),
        ("3_x", "3"),
    )


names = st.lists(
    st.text(st.sampled_from("ab01_-"), min_size=1, max_size=6), min_size=1, max_size=6, unique=True
)


def test_the_order_does_not_depend_on_that_of_the_folder():
    """0 and 00 are the same number."""
    assert paired(["00", "0"], ["00", "0"]).pairs == paired(["0", "00"], ["0", "00"]).pairs


@given(names, st.randoms())
def test_a_matching_is_one_to_one_and_equal_names_stay_together(targets, random):
    restored = list(targets)
    random.shuffle(restored)
    assert paired(restored, targets).pairs == tuple(
        (name, name) for _, name in paired(targets, targets).pairs
    )


@given(names, names)
def test_any_matching_found_is_complete_and_one_to_one(restored, targets):
    try:
        pairs = paired(restored, targets).pairs
    except EvaluationError:
        return
    assert sorted(one for one, _ in pairs) == sorted(restored)
    assert sorted(other for _, other in pairs) == sorted(targets)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "columns 'a,b'"),
        ("restored,target\n", "names no pair"),
        ("restored,target\n1,9\n", "line 2: target '9' is not among"),
        ("restored,target\nx.png,1\nx,2\n", "line 3: a name occurs twice"),
        ("restored,target\nx\n", "line 2: target '' is not"),
    ],
)
def test_a_faulty_file_of_pairs_names_its_line(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(EvaluationError, match=message):
        read_pairs_file(tmp_path / "p.csv", ["x", "1"], ["1", "2"])


def test_the_file_of_pairs_decides(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("target,restored\nb/2.png,x.png\n1,y\n", encoding="utf-8-sig")
    assert read_pairs_file(path, ["x", "y"], ["1", "b/2"]).pairs == (("x", "b/2"), ("y", "1"))
    with pytest.raises(EvaluationError, match="no file"):
        read_pairs_file(tmp_path / "none.csv", ["x"], ["1"])
