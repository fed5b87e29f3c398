"""PSNR and SSIM by other libraries, on images made by a formula.

It runs in the environment of one library, without dgunet: `python library_values.py piq` prints
JSON. `test_evaluation_libraries.py` makes the environments and compares; the values are committed
in `library_values.json`.
"""

import json
import sys
from importlib.metadata import version

import numpy as np

REQUIREMENTS = {
    "scikit-image": ["scikit-image==0.26.0"],
    "torchmetrics": ["torchmetrics==1.9.0", "torch==2.13.0"],
    "piq": ["piq==0.8.0", "torch==2.4.1", "torchvision==0.19.1"],
    "pyiqa": ["pyiqa==0.1.16", "torch==2.4.1", "torchvision==0.19.1"],
}
"""What each environment holds. piq and pyiqa need the torchvision of their torch."""

SIZES = {"small": (64, 80), "odd": (47, 61), "large": (400, 431)}


def target(size):
    """A uint8 RGB image of smooth waves and edges, from whole numbers only."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    channels = [
        (rows * (3 + c) + columns * (5 - c)) % 256 * 3 // 4
        + ((rows // 8 + columns // 8 + c) % 2) * 60
        for c in range(3)
    ]
    return np.minimum(np.stack(channels, -1), 255).astype(np.uint8)


def restored(size):
    """The target with an error that differs between pixels and channels; floats, 0 to 1."""
    rows, columns, c = np.mgrid[: size[0], : size[1], :3]
    error = ((rows * 7 + columns * 13 + c * 29) % 32 - 15.5) * (1 + c) / 2 + (rows % 5 - 2) * 0.3
    return np.clip((target(size) + error) / 255.0, 0.0, 1.0)


def rounded(size):
    """The restored image as uint8."""
    return np.rint(restored(size) * 255.0).astype(np.uint8)


def skimage_values():
    from skimage.color import rgb2ycbcr, rgb2yiq
    from skimage.metrics import peak_signal_noise_ratio as psnr
    from skimage.metrics import structural_similarity as ssim

    wang = {"gaussian_weights": True, "use_sample_covariance": False}
    for name, size in SIZES.items():
        x, y, floats, unit = rounded(size), target(size), restored(size), target(size) / 255.0
        colour = {"channel_axis": 2}
        yield name, "8-bit", "rgb-basicsr", "psnr", psnr(y, x)
        yield name, "8-bit", "rgb-basicsr", "ssim", ssim(x, y, **wang, **colour)
        yield name, "8-bit", "rgb-skimage", "ssim", ssim(x, y, **colour)
        yield name, "float", "rgb-skimage", "psnr", psnr(unit, floats, data_range=1)
        yield name, "float", "rgb-skimage", "ssim", ssim(floats, unit, data_range=1, **colour)
        yield (
            *(name, "float", "rgb-skimage-double", "ssim"),
            ssim(floats, unit, data_range=2, **colour),
        )
        gaussian = ssim(floats, unit, data_range=1, gaussian_weights=True, **colour)
        yield name, "float", "rgb-skimage-gaussian", "ssim", gaussian
        luma = [rgb2ycbcr(image)[..., 0] for image in (x, y)]
        yield name, "8-bit", "y-basicsr", "psnr", psnr(luma[1], luma[0], data_range=255)
        yield name, "8-bit", "y-basicsr", "ssim", ssim(*luma, data_range=255, **wang)
        for crop in (2, 3, 4, 8):
            inner = [image[crop:-crop, crop:-crop] for image in luma]
            values = psnr(inner[1], inner[0], data_range=255), ssim(*inner, data_range=255, **wang)
            yield name, "8-bit", f"y-crop-{crop}", "psnr", values[0]
            yield name, "8-bit", f"y-crop-{crop}", "ssim", values[1]
        whole = [np.floor(image + (0.5 + 1e-9)) for image in luma]
        yield name, "8-bit", "rain-y", "psnr", psnr(whole[1], whole[0], data_range=255)
        yield name, "8-bit", "rain-y", "ssim", ssim(*whole, data_range=255, **wang)
        full = [rgb2yiq(image)[..., 0] for image in (floats, unit)]
        yield name, "float", "pyiqa-other", "psnr", psnr(full[1], full[0], data_range=1)
        yield (
            *(name, "8-bit", "rgb-channels", "psnr"),
            np.mean([psnr(y[..., c], x[..., c]) for c in range(3)]),
        )


def torchmetrics_values():
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio as psnr
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim
    from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

    def tensor(image):
        return torch.tensor(np.moveaxis(image, 2, 0)[None], dtype=torch.float64)

    whole, mean = PeakSignalNoiseRatio(1.0), StructuralSimilarityIndexMeasure(data_range=1.0)
    for each in (whole, mean):
        each.set_dtype(torch.float64)
    for name, size in SIZES.items():
        pair = tensor(restored(size)), tensor(target(size) / 255.0)
        yield name, "float", "rgb-torchmetrics-each", "psnr", psnr(*pair, data_range=1.0)
        yield name, "float", "rgb-torchmetrics-each", "ssim", ssim(*pair, data_range=1.0)
        whole.update(*pair)
        mean.update(*pair)
    yield "all", "float", "rgb-torchmetrics", "psnr", whole.compute()
    yield "all", "float", "rgb-torchmetrics", "ssim", mean.compute()


def piq_values():
    import piq
    import torch

    for name, size in SIZES.items():
        pair = [
            torch.tensor(np.moveaxis(image, 2, 0)[None], dtype=torch.float32)
            for image in (restored(size), target(size) / 255.0)
        ]
        yield name, "float", "rgb-piq", "psnr", piq.psnr(*pair)
        yield name, "float", "rgb-piq", "ssim", piq.ssim(*pair)
        yield name, "float", "pyiqa-other", "psnr", piq.psnr(*pair, convert_to_greyscale=True)


def pyiqa_values():
    import pyiqa
    import torch

    lines = {"psnr": "pyiqa", "ssim": "pyiqa", "psnry": "pyiqa-other", "ssimc": "pyiqa-other"}
    metrics = {name: pyiqa.create_metric(name, device="cpu") for name in lines}
    for name, size in SIZES.items():
        pair = [
            torch.tensor(np.moveaxis(image, 2, 0)[None], dtype=torch.float32)
            for image in (rounded(size) / 255.0, target(size) / 255.0)
        ]
        for metric, line in lines.items():
            yield name, "8-bit", line, metric[:4], metrics[metric](*pair)


VALUES = {
    "scikit-image": skimage_values,
    "torchmetrics": torchmetrics_values,
    "piq": piq_values,
    "pyiqa": pyiqa_values,
}


def main(library):
    fields = ("size", "outputs", "convention", "metric")
    values = [
        dict(zip(fields, key, strict=True)) | {"value": float(value)}
        for *key, value in VALUES[library]()
    ]
    named = [requirement.partition("==")[0] for requirement in REQUIREMENTS[library]]
    versions = {name: version(name) for name in (*named, "numpy")}
    print(json.dumps({"versions": versions, "values": values}))


if __name__ == "__main__":
    main(sys.argv[1])
