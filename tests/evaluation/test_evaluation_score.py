"""Scoring of external results: pairing, file types, invalid input and tables."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.io
from evaluation_stand_ins import pair
from PIL import Image

from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.rows import write_rows, write_rows_csv
from dgunet.evaluation.scoring import score_results
from dgunet.system.errors import DgunetError, EvaluationError


def folders(tmp_path, names=("1", "2", "10"), channels=3):
    results, targets = tmp_path / "results", tmp_path / "targets"
    for seed, name in enumerate(names):
        for folder, image in zip((results, targets), pair(seed, channels=channels), strict=True):
            path = folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0] if channels == 1 else image).save(path)
    return results, targets


def test_results_are_paired_by_name_and_scored_in_natural_order(tmp_path):
    results, targets = folders(tmp_path)
    rows = list(score_results(results, targets, protocol("rain-y")))
    assert [row.id for row in rows] == ["1", "2", "10"]
    for seed, row in enumerate(rows):
        expected = protocol("rain-y").score(*pair(seed))
        assert (row.psnr, row.ssim) == (expected.psnr, expected.ssim)


def test_suffixes_may_differ_and_folders_may_be_nested(tmp_path):
    results, targets = folders(tmp_path, ["GOPR/1", "GOPR/2"])
    Image.open(results / "GOPR" / "1.png").save(results / "GOPR" / "1.bmp")
    (results / "GOPR" / "1.png").unlink()
    rows = list(score_results(results, targets, protocol("gopro-rgb")))
    assert [row.id for row in rows] == ["GOPR/1", "GOPR/2"]


def test_floating_point_results_are_scored_without_rounding(tmp_path):
    results, targets = folders(tmp_path, ["1"])
    exact = pair(0)[0].astype(np.float32) / 255 * np.float32(0.999)
    np.save(results / "1.npy", exact)
    (results / "1.png").unlink()
    rules = protocol("sidd-blocks")
    (row,) = score_results(results, targets, rules)
    assert row.psnr == rules.score(exact, pair(0)[1]).psnr


def test_grey_images_are_scored_unchanged_under_cs_y(tmp_path):
    results, targets = folders(tmp_path, ["1"], channels=1)
    noisy, clean = pair(0, channels=1)
    (row,) = score_results(results, targets, protocol("cs-y"))
    assert row.psnr == protocol("cs-y").score(noisy.astype(float), clean).psnr


def test_grey_and_palette_images_are_scored_as_rgb(tmp_path):
    results, targets = folders(tmp_path, ["1"], channels=1)
    path = targets / "1.png"
    Image.open(path).convert("P").save(path)
    (row,) = score_results(results, targets, protocol("rain-y"))
    noisy, clean = (np.repeat(image, 3, 2) for image in pair(0, channels=1))
    assert row.psnr == protocol("rain-y").score(noisy, clean).psnr


def as_array(values):
    """A function that replaces the second result by an array of ``values``."""

    def damage(results, _):
        (results / "2.png").unlink()
        np.save(results / "2.npy", values)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r, t: (r / "2.png").unlink(), "targets without a restored image: 1 .*targets/2"),
        (
            lambda r, t: (t / "2.png").unlink(),
            "restored images without a target: 1 .*results/2",
        ),
        (lambda r, t: Image.open(r / "2.png").save(r / "2.bmp"), "same name"),
        (lambda r, t: Image.fromarray(pair(0)[0][:-1]).save(r / "2.png"), "^2: .*shape"),
        (lambda r, t: Image.open(r / "2.png").convert("RGBA").save(r / "2.png"), "alpha"),
        (
            lambda r, t: Image.fromarray(np.zeros((24, 32), np.uint16)).save(r / "2.png"),
            "^2: .*uint16.* range is not known.*--range",
        ),
        (lambda r, t: (r / "2.png").write_bytes(b"x"), "not a readable image"),
        (as_array(np.full((24, 32, 3), np.nan)), "^2: .*NaN"),
        (as_array(np.full((24, 32, 3), 128.0)), r"^2: .*spans \[128, 128\].*Divide"),
        (as_array(np.zeros((24, 32, 3), np.uint16)), "^2: .*uint16"),
        (as_array(np.zeros((24, 32, 4))), "^2: .*alpha"),
    ],
    ids=[
        *("missing", "extra", "twice", "size", "alpha", "16 bit", "damaged"),
        *("nan", "floats to 255", "16-bit array", "array with alpha"),
    ],
)
def test_unpaired_and_invalid_results_are_reported(tmp_path, damage, message):
    results, targets = folders(tmp_path)
    damage(results, targets)
    with pytest.raises(DgunetError, match=message):
        list(score_results(results, targets, protocol("rain-y")))


def test_a_part_of_the_targets_is_scored_only_on_request(tmp_path):
    results, targets = folders(tmp_path)
    (results / "10.png").unlink()
    rows = list(score_results(results, targets, protocol("rain-y"), partial=True))
    assert [row.id for row in rows] == ["1", "2"]


def test_missing_folders_and_the_server_protocol_are_refused(tmp_path):
    results, targets = folders(tmp_path)
    with pytest.raises(EvaluationError, match="is not a folder"):
        list(score_results(results / "1.png", targets, protocol("rain-y")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match="holds no image"):
        list(score_results(tmp_path / "empty", targets, protocol("rain-y")))
    with pytest.raises(EvaluationError, match="no local score"):
        list(score_results(results, targets, protocol("dnd-server")))


def test_sidd_blocks_are_scored_from_matlab_files_in_benchmark_order(tmp_path):
    blocks = np.stack([np.stack([pair(4 * s + b)[1] for b in range(2)]) for s in range(3)])
    restored = np.clip(blocks / 255 * 0.99, 0, 1).astype(np.float32)
    truth, result = tmp_path / "ValidationGtBlocksSrgb.mat", tmp_path / "Idenoised.mat"
    scipy.io.savemat(truth, {"ValidationGtBlocksSrgb": blocks})
    scipy.io.savemat(result, {"Idenoised": restored})
    rules = protocol("sidd-blocks")
    rows = list(score_results(result, truth, rules))
    assert [row.id for row in rows] == [f"{s:04d}_{b:04d}" for s in (1, 2, 3) for b in (1, 2)]
    assert rows[3].psnr == rules.score(restored[1, 1], blocks[1, 1]).psnr
    for other in (restored[:2], restored.swapaxes(0, 1), restored[0], restored[0, 0, 0, 0]):
        scipy.io.savemat(result, {"Idenoised": other})
        with pytest.raises(EvaluationError, match="benchmark's order"):
            list(score_results(result, truth, rules))
    scipy.io.savemat(result, {"Idenoised": restored * 255})
    with pytest.raises(EvaluationError, match=r"0001_0001: .* spans"):
        list(score_results(result, truth, rules))
    result.write_bytes(result.read_bytes()[:-200])
    with pytest.raises(EvaluationError, match="not a readable MATLAB file"):
        list(score_results(result, truth, rules))
    scipy.io.savemat(result, {"other": restored})
    with pytest.raises(EvaluationError, match="no variable Idenoised"):
        list(score_results(result, truth, rules))


def test_both_table_formats_hold_the_full_rows(tmp_path):
    results, targets = folders(tmp_path)
    rows = list(score_results(results, targets, protocol("rain-y")))
    write_rows(tmp_path / "t.parquet", rows)
    write_rows_csv(tmp_path / "t.csv", rows)
    binary = pq.read_table(tmp_path / "t.parquet").to_pylist()
    with (tmp_path / "t.csv").open() as handle:
        text = list(csv.DictReader(handle))
    for row, one, other in zip(rows, binary, text, strict=True):
        assert one["psnr"] == row.psnr == float(other["psnr"])
        assert one["restored_sha256"] == other["restored_sha256"] == row.restored_sha256


@pytest.mark.parametrize("halves", [(0, 1), (0,), (1,)])
def test_hidden_files_and_folders_are_skipped_and_counted(tmp_path, halves):
    """Copies that a notebook leaves in both folders changed a mean by 0.7 dB."""
    both = folders(tmp_path)
    expected = list(score_results(*both, protocol("rain-y")))
    for half in halves:
        for name in (".ipynb_checkpoints/1-checkpoint.png", "__MACOSX/1.png", "._1.png"):
            path = both[half] / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pair(7)[half]).save(path)
        for name in ("Thumbs.db", ".DS_Store", "readme.txt"):
            (both[half] / name).write_bytes(b"?")
    lines = []
    rows = list(score_results(*both, protocol("rain-y"), note=lines.append))
    assert rows == expected
    assert lines == [f"{both[half]}: 6 files ignored (5 hidden, 1 not images)" for half in halves]


def test_a_folder_below_a_hidden_one_is_scored(tmp_path):
    both = folders(tmp_path / ".cache")
    assert len(list(score_results(*both, protocol("rain-y")))) == 3


def test_restored_sidd_blocks_of_matlab_7_3_are_scored(tmp_path):
    import h5py

    noisy, target = (np.stack([[pair(s, 16, 16)[k] for s in range(2)]]) for k in (0, 1))
    scipy.io.savemat(tmp_path / "gt.mat", {"ValidationGtBlocksSrgb": target})
    scipy.io.savemat(tmp_path / "old.mat", {"Idenoised": noisy})
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as handle:
        handle.create_dataset("Idenoised", data=noisy.T)
    rules = protocol("sidd-blocks")
    old, new = (
        list(score_results(tmp_path / f"{name}.mat", tmp_path / "gt.mat", rules))
        for name in ("old", "new")
    )
    assert len(old) == 2 and new == old
    with h5py.File(tmp_path / "none.mat", "w") as handle:
        handle.create_dataset("other", data=noisy.T)
    with pytest.raises(EvaluationError, match="no variable Idenoised"):
        list(score_results(tmp_path / "none.mat", tmp_path / "gt.mat", rules))
