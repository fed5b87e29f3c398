"""Generation of the sample data: small images in exactly the folder trees of the official archives.

`generate_sample` makes them from free photographs (`photographs.py`) and seeded degradations
(`degrade.py`). Training and testing use different photographs.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dgunet.data.sample.degrade import (
    GAMMA,
    Array,
    RainLayer,
    add_rain,
    add_sensor_noise,
    camera_path,
    motion_blur,
)
from dgunet.data.sample.matlab_writing import write_dnd, write_sidd_blocks
from dgunet.data.sample.photographs import Photograph, credits_table, photographs
from dgunet.system import files

SEED = 20220611
"""Seed of every random choice; each dataset draws from its own stream."""

TEST = photographs("astronaut", "chelsea")
TRAIN = photographs("coffee", "rocket", "retina", "hubble")
GREY_TEST = photographs("camera", "astronaut", "chelsea")
GREY_TRAIN = photographs("brick", "gravel", "grass", "coffee", "rocket", "retina")

MARGIN = 16
"""Width in pixels of the border cut from a blurred image, which contains mirrored content."""


class CropSource:
    """Random crops of photographs for one dataset, seeded with its name."""

    def __init__(self, name: str, sources: list[Photograph]) -> None:
        self.rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        self._pixels = [photograph.pixels() for photograph in sources]

    def cut(self, number: int, height: int, width: int) -> Array:
        """Crop photograph ``number`` (modulo their count): the most detailed of six at random."""
        image = self._pixels[number % len(self._pixels)]
        candidates = []
        for _ in range(6):
            top = int(self.rng.integers(image.shape[0] - height + 1))
            left = int(self.rng.integers(image.shape[1] - width + 1))
            candidates.append(image[top : top + height, left : left + width])
        return max(candidates, key=lambda crop: float(np.abs(np.diff(crop, axis=1)).mean()))

    def between(self, low: float, high: float) -> float:
        """A uniform random number between ``low`` and ``high``."""
        return float(self.rng.uniform(low, high))


def generate_sample(out: Path) -> None:
    """Write the sample datasets to ``out/train`` and ``out/test``; ``out`` is replaced as a whole.

    About 3 MB; the pixels depend only on `SEED`.

    Raises:
        DataError: if scikit-image or one of its photographs is missing.
        DgunetError: if ``out`` is not writable.
    """
    with files.atomic_folder(out) as work:
        _derain(work)
        _gopro(work)
        _hide(work / "test" / "HIDE_dataset")
        _realblur(work / "test" / "RealBlur")
        _sidd_train(work / "train" / "SIDD_Medium_Srgb" / "Data")
        _sidd_test(work / "test" / "SIDD")
        _dnd_test(work / "test" / "dnd_2017")
        _grey(work)
        (work / "README.md").write_text(_README + credits_table(), encoding="utf-8")


RAIN = {
    "Test100": (
        "test",
        ".png",
        [(96, 96), (91, 107), (96, 128)],
        (9, 13),
        (0.014, 0.020),
        (0.55, 0.80),
    ),
    "Rain100H": (
        "test",
        ".png",
        [(96, 96), (96, 128), (128, 96)],
        (9, 15),
        (0.014, 0.020),
        (0.60, 0.85),
    ),
    "Rain100L": (
        "test",
        ".png",
        [(96, 96), (96, 128), (128, 96)],
        (9, 13),
        (0.014, 0.020),
        (0.60, 0.80),
    ),
    "Test2800": (
        "test",
        ".jpg",
        [(96, 96), (96, 128), (96, 96)],
        (8, 14),
        (0.012, 0.020),
        (0.55, 0.75),
    ),
    "Test1200": (
        "test",
        ".png",
        [(96, 96), (96, 96), (96, 96)],
        (8, 14),
        (0.014, 0.022),
        (0.55, 0.80),
    ),
    "Rain13K": ("train", ".jpg", [(96, 96)] * 24, (7, 15), (0.010, 0.026), (0.50, 0.90)),
}
"""Deraining datasets: role, suffix, sizes, ranges of streak length, density and opacity."""


def _derain(work: Path) -> None:
    for name, (role, suffix, sizes, lengths, densities, opacities) in RAIN.items():
        crops = CropSource(name, TEST if role == "test" else TRAIN)
        for number, (height, width) in enumerate(sizes):
            clean = crops.cut(number, height, width)
            layers = [
                RainLayer(
                    length=int(crops.rng.integers(lengths[0], lengths[1] + 1)),
                    angle=crops.between(-25, 25),
                    density=crops.between(*densities),
                    opacity=crops.between(*opacities),
                )
                # Heavy rain falls in more than one direction.
                for _ in range(2 if name == "Rain100H" else 1)
            ]
            rainy = add_rain(clean, layers, crops.rng)
            folder = work / role / name
            _save(folder / "input" / f"{number + 1}{suffix}", rainy)
            _save(folder / "target" / f"{number + 1}{suffix}", clean)


SEQUENCES = {
    "train": ["GOPR0372_07_00", "GOPR0374_11_01", "GOPR0384_11_03", "GOPR0868_11_02"],
    "test": ["GOPR0384_11_00", "GOPR0869_11_00"],
}
"""Sequence names of the official archive."""


def _gopro(work: Path) -> None:
    for role, names in SEQUENCES.items():
        crops = CropSource(f"GoPro-{role}", TEST if role == "test" else TRAIN)
        for number, name in enumerate(names):
            folder = work / role / "GOPRO_Large" / role / name
            for frame in range(2 if role == "test" else 4):
                sharp = crops.cut(number, 96 + 2 * MARGIN, 96 + 2 * MARGIN)
                path = _path(crops, 5.0, 8.0)
                file = f"{frame + 1:06d}.png"
                _save(folder / "blur" / file, _inside(motion_blur(sharp, path, gamma=1.0)))
                _save(folder / "blur_gamma" / file, _inside(motion_blur(sharp, path, gamma=GAMMA)))
                _save(folder / "sharp" / file, _inside(sharp))


def _hide(folder: Path) -> None:
    crops = CropSource("HIDE", TEST)
    shots = [
        ("test-close-ups", "1fromGOPR0950"),
        ("test-close-ups", "12fromGOPR1086"),
        ("test-long-shot", "5fromGOPR1044"),
    ]
    for number, (part, name) in enumerate(shots):
        sharp = crops.cut(number, 96 + 2 * MARGIN, 96 + 2 * MARGIN)
        blurred = motion_blur(sharp, _path(crops, 5.0, 9.0), gamma=1.0)
        _save(folder / "test" / part / f"{name}.png", _inside(blurred))
        _save(folder / "GT" / f"{name}.png", _inside(sharp))


def _realblur(folder: Path) -> None:
    """Another exposure and weak noise, as in the real dataset, whose protocol aligns the images."""
    crops = CropSource("RealBlur-J", TEST)
    lines = []
    for number, scene in enumerate(["scene003", "scene050"]):
        for shot in (1, 2):
            sharp = crops.cut(number, 104 + 2 * MARGIN, 104 + 2 * MARGIN)
            blurred = 0.97 * motion_blur(sharp, _path(crops, 4.0, 7.0))
            noisy = add_sensor_noise(blurred, 1e-5, 1e-6, crops.rng)
            base = f"RealBlur-J_ECC_IMCORR_centroid_itensity_ref/{scene}"
            pair = f"{base}/gt/gt_{shot}.png", f"{base}/blur/blur_{shot}.png"
            _save(folder / pair[0], _inside(sharp))
            _save(folder / pair[1], _inside(noisy))
            lines.append(f"{pair[0]} {pair[1]}\n")
    (folder / "RealBlur_J_test_list.txt").write_text("".join(lines), encoding="utf-8")


SCENES = ["0001_001_S6_00100_00060_3200_L", "0017_001_GP_00100_00060_5500_N"]
SCENES += ["0064_003_GP_01600_03200_3200_N", "0200_010_GP_01600_03200_5500_N"]
"""Scene folders of the official archive: number, scene, camera, ISO, exposure, light."""


def _sidd_train(folder: Path) -> None:
    crops = CropSource("SIDD-train", TRAIN)
    for number, scene in enumerate(SCENES):
        for shot in ("010", "011"):
            clean = crops.cut(number, 96, 128)
            _save(folder / scene / f"{scene[:4]}_NOISY_SRGB_{shot}.PNG", _noisy(clean, crops))
            _save(folder / scene / f"{scene[:4]}_GT_SRGB_{shot}.PNG", clean)


def _sidd_test(folder: Path) -> None:
    crops = CropSource("SIDD", TEST)
    clean = [[crops.cut(scene, 64, 64) for _ in range(3)] for scene in range(2)]
    noisy = [[_noisy(block, crops) for block in row] for row in clean]
    write_sidd_blocks(folder, _bytes(np.array(noisy)), _bytes(np.array(clean)))


def _dnd_test(folder: Path) -> None:
    crops = CropSource("DND", TEST)
    images = [_noisy(crops.cut(number, 130, 162), crops) for number in range(2)]
    # Twenty boxes per image, as in the official index; a grid with a border of one pixel.
    grid = [(2 + 32 * row, 2 + 32 * column) for row in range(4) for column in range(5)]
    boxes = np.array([(r, c, r + 31, c + 31) for r, c in grid])
    write_dnd(folder, [image.astype(np.float32) for image in images], boxes)


def _grey(work: Path) -> None:
    crops = CropSource("Set11", GREY_TEST)
    for number, name in enumerate(["camera", "astronaut", "chelsea"]):
        image = _grey_image(crops.cut(number, 96, 96))
        if name == "chelsea":
            # Two files of the official dataset are palette images with a grey palette.
            image.putpalette([level for level in range(256) for _ in range(3)])
        _write(work / "test" / "Set11" / f"{name}.tif", image)
    crops = CropSource("BSD68", GREY_TEST)
    for number, (height, width) in enumerate([(97, 129), (129, 97), (97, 129)]):
        image = _grey_image(crops.cut(number, height, width))
        _write(work / "test" / "BSD68" / f"test{number + 1:03d}.png", image)
    crops = CropSource("BSD400", GREY_TRAIN)
    for number in range(18):
        image = _grey_image(crops.cut(number, 90, 90))
        _write(work / "train" / "BSD400" / f"test_{number + 1:03d}.png", image)


def _path(crops: CropSource, shortest: float, longest: float) -> Array:
    length = crops.between(shortest, longest)
    return camera_path(length, crops.between(-20, 20), crops.between(-2, 2), frames=9)


def _noisy(clean: Array, crops: CropSource) -> Array:
    shot, read = crops.between(0.004, 0.010), crops.between(0.0005, 0.002)
    return add_sensor_noise(clean, shot, read, crops.rng)


def _inside(image: Array) -> Array:
    return image[MARGIN:-MARGIN, MARGIN:-MARGIN]


def _bytes(image: Array) -> NDArray[np.uint8]:
    return np.rint(image * 255.0).astype(np.uint8)


def _grey_image(image: Array) -> Image.Image:
    return Image.fromarray(_bytes(image @ np.array([0.299, 0.587, 0.114])))


def _save(path: Path, image: Array) -> None:
    _write(path, Image.fromarray(_bytes(image)))


def _write(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        image.save(path, quality=95, subsampling=0)
    elif path.suffix == ".tif":
        image.save(path)
    else:
        image.save(path, format="PNG", optimize=True)


_README = """# Sample data

Small images for running the whole pipeline from a fresh clone. The datasets have the folder trees
of the official archives, but they are **not** the benchmarks: their images are crops of the
photographs below, degraded by `dgunet/data/sample/degrade.py`. No number computed from them can be
compared with the paper.

Generated by `dgunet data sample`; see docs/sample-data.md. Training and test images come from
different photographs, all part of scikit-image.

"""
