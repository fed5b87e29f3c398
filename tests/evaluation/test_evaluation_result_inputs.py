"""The files that authors have: depths, array files, stacks, and the range of their values."""

import numpy as np
import pytest
import scipy.io
import tifffile
from evaluation_stand_ins import pair
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dgunet.evaluation.array_layout import as_image, as_stack
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.result_pairs import Inputs
from dgunet.evaluation.scoring import score_results
from dgunet.evaluation.value_range import ValueRange
from dgunet.system.errors import ConfigError, DgunetError, EvaluationError

RULES = protocol("gopro-rgb")


@pytest.fixture
def sides(tmp_path):
    """An empty folder of results, and one with two PNG targets."""
    for name in ("restored", "target"):
        (tmp_path / name).mkdir()
    for seed in (0, 1):
        Image.fromarray(pair(seed)[1]).save(tmp_path / "target" / f"{seed}.png")
    return tmp_path / "restored", tmp_path / "target"


def scores(restored, target, rules=RULES, lines=None, **inputs):
    note = (lambda line: None) if lines is None else lines.append
    rows = score_results(restored, target, rules, inputs=Inputs(**inputs), note=note)
    return [(row.id, row.psnr) for row in rows]


def expected(scale=lambda noisy: noisy):
    return [(str(seed), RULES.score(scale(pair(seed)[0]), pair(seed)[1]).psnr) for seed in (0, 1)]


def _png16(path, noisy):
    import imagecodecs

    path.with_suffix(".png").write_bytes(imagecodecs.png_encode(noisy.astype(np.uint16) * 257))


def _hdf5(path, noisy):
    import h5py

    with h5py.File(path.with_suffix(".mat"), "w", userblock_size=512) as handle:
        handle["x"] = (noisy / 255.0).T
        handle["ratio"] = np.array([[10.0]])


WAYS = {
    "8-bit TIFF": lambda p, x: tifffile.imwrite(p.with_suffix(".tif"), x),
    "16-bit TIFF": lambda p, x: tifffile.imwrite(
        p.with_suffix(".tif"), x.astype(np.uint16) * 257, photometric="rgb"
    ),
    "float TIFF": lambda p, x: tifffile.imwrite(
        p.with_suffix(".tiff"), (x / 255).astype(np.float32), photometric="rgb"
    ),
    "planar float TIFF": lambda p, x: tifffile.imwrite(
        p.with_suffix(".tiff"),
        np.moveaxis(x / 255, 2, 0).astype(np.float32),
        photometric="rgb",
        planarconfig="separate",
    ),
    "16-bit PNG": _png16,
    "HWC": lambda p, x: np.save(p.with_suffix(".npy"), x / 255),
    "CHW": lambda p, x: np.save(p.with_suffix(".npy"), np.moveaxis(x, 2, 0) / 255),
    "NCHW": lambda p, x: np.save(p.with_suffix(".npy"), np.moveaxis(x, 2, 0)[None] / 255),
    "uint8 array": lambda p, x: np.save(p.with_suffix(".npy"), x),
    "npz": lambda p, x: np.savez(p.with_suffix(".npz"), out=x / 255, time=3.0),
    "MATLAB": lambda p, x: scipy.io.savemat(
        p.with_suffix(".mat"), {"x": x / 255, "ratio": 10.0, "name": "a"}
    ),
    "MATLAB 7.3": _hdf5,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_form_of_the_same_pixels_has_the_same_score(sides, way):
    for seed in (0, 1):
        WAYS[way](sides[0] / str(seed), pair(seed)[0])
    assert scores(*sides) == expected()


STACKS = {
    "NHWC.npy": lambda x: x,
    "NCHW.npy": lambda x: np.moveaxis(x, 3, 1),
    "HWCN.mat": lambda x: np.moveaxis(x, 0, 3),
}


@pytest.mark.parametrize("way", STACKS)
def test_a_stack_is_paired_by_position(sides, tmp_path, way):
    stack = STACKS[way](np.stack([pair(seed)[0] / 255 for seed in (0, 1)]))
    path = tmp_path / way
    np.save(path, stack) if path.suffix == ".npy" else scipy.io.savemat(path, {"x": stack})
    lines = []
    assert scores(path, sides[1], lines=lines) == expected()
    assert lines[0] == "paired by position in the stack: 1 -> 0, 2 -> 1"
    for name in ("10", "9"):
        Image.fromarray(pair(0)[1]).save(sides[1] / f"{name}.png")
    with pytest.raises(EvaluationError, match="no layout of a stack fit it for 4"):
        scores(path, sides[1])


def test_a_stack_beside_names_of_unclear_order_is_refused(tmp_path):
    (tmp_path / "target").mkdir()
    for name in ("1", "2", "10"):
        Image.fromarray(pair(0)[1]).save(tmp_path / "target" / f"{name}.png")
    np.save(tmp_path / "x.npy", np.stack([pair(0)[0]] * 3))
    with pytest.raises(EvaluationError, match=r"order of a stack.*\(1, 10, 2\).*\(1, 2, 10\)"):
        scores(tmp_path / "x.npy", tmp_path / "target")
    (tmp_path / "p.csv").write_text("restored,target\n1,1\n2,10\n3,2\n")
    rows = scores(tmp_path / "x.npy", tmp_path / "target", pairs=tmp_path / "p.csv")
    assert [name for name, _ in rows] == ["1", "10", "2"]


def test_archives_with_one_variable_per_image(sides, tmp_path):
    images = {f"a{seed}": pair(seed)[0] / 255 for seed in (0, 1)}
    np.savez(tmp_path / "x.npz", **images)
    scipy.io.savemat(tmp_path / "x.mat", images)
    assert scores(tmp_path / "x.npz", sides[1]) == expected()
    assert scores(tmp_path / "x.mat", sides[1]) == expected()
    np.savez(sides[0] / "0.npz", **images)
    np.savez(sides[0] / "1.npz", a0=images["a1"])
    with pytest.raises(EvaluationError, match=r"^0: .*several images: .*a0 24x32x3.*--variable"):
        scores(*sides)
    assert scores(*sides, variable="a0") == expected()


def test_targets_may_be_arrays_of_8_bit_values(sides, tmp_path):
    stack = np.stack([pair(seed)[1] for seed in (0, 1)])
    for seed in (0, 1):
        Image.fromarray(pair(seed)[0]).save(sides[0] / f"{seed + 1}.png")
    values = [score for _, score in expected()]
    for kind in (np.uint8, np.float32, np.float64):
        given = stack if kind == np.uint8 else (stack / 255).astype(kind)
        np.save(tmp_path / "t.npy", given)
        assert [score for _, score in scores(sides[0], tmp_path / "t.npy")] == values
    np.save(tmp_path / "t.npy", stack / 255 * 0.999)
    with pytest.raises(EvaluationError, match="away from the 256 levels"):
        scores(sides[0], tmp_path / "t.npy")


@pytest.mark.parametrize(
    ("stated", "scale"),
    [
        ("0..255", lambda x: x.astype(np.float32)),
        ("-1..1", lambda x: x / 255 * 2 - 1),
        ("0..255", lambda x: x.astype(np.int64)),
        ("0..65535", lambda x: x.astype(np.float64) * 257),
    ],
)
def test_a_stated_range_is_used_and_needed(sides, stated, scale):
    for seed in (0, 1):
        np.save(sides[0] / f"{seed}.npy", scale(pair(seed)[0]))
    lines = []
    assert scores(*sides, lines=lines, value_range=stated) == expected()
    assert stated in lines[0] and "stated" in lines[0]
    with pytest.raises(EvaluationError, match=rf"^0: .*--range (0..255 or --range )?{stated}"):
        scores(*sides)


@pytest.mark.parametrize("low", [-0.3, -1.0])
def test_values_of_another_range_are_refused_with_a_hint(low):
    values = np.linspace(low, 1.0, 300).reshape(10, 10, 3)
    with pytest.raises(EvaluationError, match=rf"spans \[{low:g}, 1\].*--range -1..1"):
        ValueRange("restored").unit(values)


@given(st.floats(0.0, 0.049), st.floats(0.0, 0.24), st.integers(0, 5))
def test_the_overshoot_of_a_network_is_accepted(usual, single, place):
    values = np.linspace(-usual, 1 + usual, 600).reshape(10, 20, 3)
    values.flat[place] = -single
    values.flat[-1 - place] = 1 + single
    assert np.array_equal(ValueRange("restored").unit(values), values)


def test_a_result_that_was_divided_twice_is_refused_and_a_black_one_is_not(sides):
    for seed in (0, 1):
        np.save(sides[0] / f"{seed}.npy", pair(seed)[0] / 255 / 255)
    with pytest.raises(EvaluationError, match=r"^0: .*nearly black"):
        scores(*sides)
    for seed in (0, 1):
        np.save(sides[0] / f"{seed}.npy", np.zeros(pair(seed)[0].shape))
    assert scores(*sides) == expected(np.zeros_like)


def test_the_range_that_was_assumed_is_printed(sides):
    for seed in (0, 1):
        np.save(sides[0] / f"{seed}.npy", pair(seed)[0] / 255 * 1.02)
    lines = []
    scores(*sides, lines=lines)
    assert lines[0] == "restored: float64 values in 0..1, assumed from the type"
    assert lines[-1].startswith("restored: values from ") and "1.02 were read" in lines[-1]


def test_jpeg_results_are_named_by_content(sides):
    Image.fromarray(pair(0)[0]).save(sides[0] / "0.jpg", quality=90)
    Image.fromarray(pair(1)[0]).save(sides[0] / "1.png", "JPEG")
    lines = []
    scores(*sides, lines=lines)
    assert lines == ["2 of 2 results are JPEG: its compression changes the score"]


def test_an_unknown_range_and_a_range_of_8_bit_files_are_refused(sides):
    for seed in (0, 1):
        Image.fromarray(pair(seed)[0]).save(sides[0] / f"{seed}.png")
    with pytest.raises(ConfigError, match=r"'0-1' is unknown.*0..255"):
        scores(*sides, value_range="0-1")
    with pytest.raises(EvaluationError, match=r"whose range is 0..255, but --range is -1..1"):
        scores(*sides, value_range="-1..1")


@pytest.mark.parametrize(
    "shape", [(3, 40, 3), (1, 40, 1), (3, 40, 1), (40, 40, 5), (40,), (2, 2, 2, 2)]
)
def test_ambiguous_shapes_are_refused_with_the_shape(shape):
    with pytest.raises(EvaluationError, match=rf"\({shape[0]},"):
        as_image(np.zeros(shape))


def test_stacks_that_can_be_read_in_two_ways_are_refused():
    assert len(as_stack(np.zeros((11, 40, 50)), 11)) == 11
    assert as_stack(np.zeros((40, 50, 11)), 11)[0].shape == (40, 50, 1)
    for shape, count in (((40, 50, 11), None), ((11, 40, 11), 11), ((3, 3, 40, 40), 2)):
        with pytest.raises(EvaluationError, match="layout"):
            as_stack(np.zeros(shape), count)


def _no_member(path):
    path.write_bytes(b"PK\x05\x06" + bytes(18))


def _text(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x")


def _lying(path):
    import zipfile

    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999, 99999, 3), }"
    text = header.ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


@pytest.mark.parametrize("damage", [_no_member, _text, _lying, lambda p: p.write_bytes(b"x" * 99)])
@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_damaged_archives_are_refused_in_one_line(sides, tmp_path, damage, suffix):
    path = tmp_path / f"x{suffix}"
    damage(path)
    with pytest.raises(DgunetError, match=f"x{suffix}") as caught:
        scores(path, sides[1])
    assert "\n" not in str(caught.value)
