"""Published MATLAB values and recorded outputs of the released code, on their own images."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from dgunet.data.readers.images import read_grey, read_rgb
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.ssim import SsimDefinition, ssim
from dgunet.imaging.colour import matlab_luma, opencv_luma
from dgunet.imaging.psnr import psnr

pytestmark = pytest.mark.benchmarks_data
WANG = SsimDefinition("gaussian", 11, "valid", False, False, 255.0)


def bicubic(size, scale):
    """The matrix of MATLAB's bicubic enlargement along one dimension, mirrored at the ends."""
    matrix = np.zeros((size * scale, size))
    for row in range(size * scale):
        centre = (row + 0.5) / scale - 0.5
        for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            d = abs(centre - tap)
            near = 1.5 * d**3 - 2.5 * d**2 + 1
            far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
            mirrored = -tap - 1 if tap < 0 else 2 * size - tap - 1 if tap >= size else tap
            matrix[row, mirrored] += near if d <= 1 else far if d <= 2 else 0.0
    return matrix


def enlarged(image, scale=4):
    """Enlarge a uint8 image; values are rounded half up after both dimensions."""
    rows, columns = (bicubic(side, scale) for side in image.shape[:2])
    exact = np.einsum("ih,jw,hwc->ijc", rows, columns, image, optimize=True)
    return np.floor(np.clip(exact, 0, 255) + 0.5).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "expected_psnr", "expected_ssim"),
    [("baboon", 20.419710, 0.391853), ("comic", 20.239912, 0.567738)],
)
def test_matlab_values_published_by_basicsr(benchmarks, name, expected_psnr, expected_ssim):
    folder = benchmarks / "metric_refs" / "BasicSR_MATLAB"
    truth = read_rgb(folder / "gt" / f"{name}.png")[4:-4, 4:-4]
    image = enlarged(read_rgb(folder / "lq" / f"{name}.png"))[4:-4, 4:-4]
    assert psnr(image, truth, 255) == pytest.approx(expected_psnr, rel=0, abs=5.1e-7)
    assert ssim(image, truth, WANG) == pytest.approx(expected_ssim, rel=0, abs=5.1e-7)


def test_official_tid2013_values(benchmarks):
    folder = benchmarks / "metric_refs" / "IQA_TID2013"
    with (folder / "results_official.csv").open() as handle:
        official = {row.pop("Method"): row for row in csv.DictReader(handle)}
    for path in sorted((folder / "ref_dir").iterdir()):
        truth, image = read_rgb(path), read_rgb(folder / "dist_dir" / path.name)
        greys = [
            np.floor(x @ np.array([0.298936, 0.587043, 0.114021]) + 0.5) for x in (truth, image)
        ]
        assert round(psnr(image, truth, 255), 2) == float(official["psnr"][path.name])
        assert round(ssim(greys[1], greys[0], WANG), 4) == float(official["ssim"][path.name])


@pytest.fixture(scope="module")
def recorded(golden):
    with np.load(golden / "metrics.npz") as arrays:
        return json.loads((golden / "metrics.json").read_text()), dict(arrays)


@pytest.mark.parametrize(
    ("name", "restored", "target", "expected", "close"),
    [
        ("rain-y", "pred", "gt", ("derain_psnr_y", "derain_ssim_y"), 1e-9),
        ("gopro-rgb", "pred", "gt", ("gopro_psnr_rgb_uint8", "gopro_ssim_matlab_3d_uint8"), 1e-9),
        (
            "sidd-blocks",
            "pred_float",
            "gt",
            ("sidd_psnr_single", "sidd_ssim_matlab_3d_single"),
            1e-9,
        ),
        (
            "realblur-aligned",
            "realblur_pred",
            "realblur_gt",
            ("realblur_psnr", "realblur_ssim"),
            1e-4,  # of 51.7 dB: the last digits of the alignment depend on the machine
        ),
    ],
)
def test_recorded_scores(recorded, name, restored, target, expected, close):
    values, arrays = recorded
    score = protocol(name).score(arrays[restored], arrays[target])
    assert score.psnr == pytest.approx(values[expected[0]], rel=0, abs=close)
    assert score.ssim == pytest.approx(values[expected[1]], rel=0, abs=close)


def test_recorded_compressive_sensing_score(recorded):
    values, arrays = recorded
    rules = protocol("cs-y")
    score = rules.score(rules.quantise(arrays["pred_float"][..., :1]), arrays["gt"][..., :1])
    assert score.psnr == pytest.approx(values["cs_psnr"], rel=0, abs=1e-6)
    assert score.ssim == pytest.approx(
        values["cs_ssim_skimage_default_win7_uniform"], rel=0, abs=1e-6
    )


def test_recorded_luma(recorded):
    _, arrays = recorded
    assert np.array_equal(matlab_luma(arrays["pred"]), arrays["y_pred"])
    assert np.array_equal(matlab_luma(arrays["gt"]), arrays["y_gt"])


@pytest.mark.parametrize("size", ["60x100", "64x64"])
def test_recorded_compressive_sensing_pipeline(golden, size):
    values = json.loads((golden / "cs_pipeline.json").read_text())[size]
    with np.load(golden / "cs_pipeline_deblock_r10_tile64.npz") as arrays:
        image, restored = arrays[f"img_{size}"][..., None], arrays[f"rec_{size}"][..., None]
    rules = protocol("cs-y")
    score = rules.score(rules.quantise(restored), image)
    assert (score.psnr, score.ssim) == pytest.approx((values["psnr"], values["ssim"]), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "expected"), [("Rain100L", (26.900, 0.8383)), ("Rain100H", (13.551, 0.3784))]
)
def test_degraded_rain_inputs(benchmarks, name, expected):
    scores = [
        protocol("rain-y").score(
            read_rgb(path), read_rgb(benchmarks / "Rain100L" / "target" / path.name)
        )
        for path in sorted((benchmarks / name / "input").iterdir())
    ]
    assert len(scores) == 100
    assert f"{np.mean([s.psnr for s in scores]):.3f}" == f"{expected[0]:.3f}"
    assert f"{np.mean([s.ssim for s in scores]):.4f}" == f"{expected[1]:.4f}"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("official_samples/Istanbul_blur1.png", 24.050),
        ("DGUNet_released_results/GOPR0384_11_00-000001-checkpoint.png", 33.594),
    ],
)
def test_gopro_image_and_the_released_output(benchmarks, image, expected):
    truth = read_rgb(benchmarks / "GoPro" / "official_samples" / "Istanbul_sharp1.png")
    score = protocol("gopro-rgb").score(read_rgb(benchmarks / "GoPro" / image), truth)
    assert f"{score.psnr:.3f}" == f"{expected:.3f}"


@pytest.mark.parametrize(
    ("rate", "expected"),
    [("mr_0_25", 25.570), ("mr_0_10", 22.697), ("mr_0_04", 19.996), ("mr_0_01", 17.277)],
)
def test_reconnet_outputs(benchmarks, rate, expected):
    truths = {path.stem: read_grey(path) for path in (benchmarks / "Set11").iterdir()}
    scores = [
        protocol("cs-y").score(read_grey(path).astype(np.float64), truths[path.stem])
        for path in sorted((benchmarks / "metric_refs" / "ReconNet_Set11" / rate).iterdir())
    ]
    assert len(scores) == 11
    assert f"{np.mean([score.psnr for score in scores]):.3f}" == f"{expected:.3f}"


def test_istanet_ssim_values_are_those_in_the_file_names(benchmarks):
    """Their values were computed before rounding to 8 bits, so they agree to 0.001."""
    checked = 0
    for path in sorted((benchmarks / "metric_refs" / "ISTANet_Set11_ratio50").glob("*.png")):
        name, stated = re.match(r"(.+\.tif)_.*SSIM_([\d.]+)\.png", path.name).groups()
        truth = read_grey(benchmarks / "Set11" / name)
        score = protocol("cs-y").score(read_grey(path).astype(np.float64), truth)
        assert score.ssim == pytest.approx(float(stated), abs=1e-3)
        checked += 1
    assert checked == 22


def test_palette_images_of_set11_are_read_as_grey(benchmarks):
    for name in ("foreman.tif", "Parrots.tif"):
        path = benchmarks / "Set11" / name
        with Image.open(path) as image:
            assert image.mode == "P"
            palette = np.asarray(image)
        assert np.array_equal(opencv_luma(read_grey(path))[..., 0], palette)
