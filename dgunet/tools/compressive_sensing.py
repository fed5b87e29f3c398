"""Compressive sensing with files: measure an image, reconstruct an image from measurements."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgunet.evaluation.restoration import to_tensor
from dgunet.imaging.npy_files import read_npy
from dgunet.network import DGUNet, load_network
from dgunet.system.errors import ConfigError, DataError
from dgunet.system.files import check_file, write_bytes
from dgunet.user_images.encoding import format_of
from dgunet.user_images.restoring import UserImage, read_image, write_image

_LUMA = (0.299, 0.587, 0.114)


def measure_image(image: Path, checkpoint: Path, out: Path) -> tuple[int, ...]:
    """Measure ``image`` with the sampling matrix of ``checkpoint`` and write y = Phi x to ``out``.

    The file is a float32 .npy. The sides are padded with zeros to whole blocks.

    Returns:
        The shape (M, rows of blocks, columns of blocks), M measurements per block.

    Raises:
        DataError: if the image cannot be read.
        ConfigError: if the network has no sampling matrix.
    """
    check_file(out)
    network = _sensing_network(checkpoint)
    with torch.no_grad():
        y = network.measure(read_input(image, 1))[0].float().numpy()
    buffer = io.BytesIO()
    np.save(buffer, y)
    write_bytes(out, buffer.getvalue())
    return tuple(y.shape)


def reconstruct_image(
    measurements: Path,
    checkpoint: Path,
    out: Path,
    size: tuple[int | None, int | None] = (None, None),
) -> tuple[int, int]:
    """Reconstruct an image from ``measurements`` and write it to ``out`` as 8-bit grey.

    Args:
        measurements: .npy of (M, rows of blocks, columns of blocks), as `measure_image` writes it.
        checkpoint: the network with the sampling matrix that made them.
        out: image to write; the suffix selects the format.
        size: height and width to crop to, in pixels; None keeps the measured size.

    Returns:
        Height and width of the image.

    Raises:
        DataError: if the measurements cannot be read, or do not fit the network.
        ConfigError: if the network has no sampling matrix, or ``size`` exceeds the measured size.
        DgunetError: if ``out`` is a folder or its suffix is not that of an image format; checked
            first.
    """
    check_file(out)
    format_of(out)
    network = _sensing_network(checkpoint)
    y = read_measurements(measurements, network)
    block = network.config.block
    whole = (y.shape[2] * block, y.shape[3] * block)
    height, width = size[0] or whole[0], size[1] or whole[1]
    if height > whole[0] or width > whole[1]:
        raise ConfigError(
            f"size {height} x {width}, but {measurements} covers {whole[0]} x {whole[1]} pixels.",
            "Give the height and width of the image that was measured.",
        )
    with torch.no_grad():
        restored = network.from_measurements(y, (height, width))[-1][0]
    pixels = restored.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    write_image(out, UserImage(pixels.permute(1, 2, 0).numpy()))
    return height, width


def read_input(path: Path, channels: int) -> Tensor:
    """Read the image at ``path`` as a network's input, (1, ``channels``, H, W) in [0, 1].

    A grey image becomes three equal channels for a colour network; a colour image becomes its
    luma for a grey network.

    Raises:
        DataError: for a missing or damaged file.
    """
    y = to_tensor(read_image(path).pixels)
    if channels == 1 and y.shape[1] == 3:
        return (y * torch.tensor(_LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    return y.expand(-1, channels, -1, -1)


def read_measurements(path: Path, network: DGUNet) -> Tensor:
    """Read measurements as float32 (1, M, rows of blocks, columns of blocks).

    Raises:
        DataError: if the file does not exist, is not an array, or does not fit ``network``.
    """
    m = network.config.measurements
    if m == 0:
        raise DataError(
            f"{path} cannot be measurements: the network has no sampling matrix.",
            "Give an image instead.",
        )
    hint = f"Save float values of shape ({m}, rows of blocks, columns of blocks) with numpy.save."
    try:
        y = read_npy(path, hint=hint)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Check the path.") from None
    if y.ndim != 3 or y.shape[0] != m or 0 in y.shape:
        raise DataError(f"{path} has the shape {y.shape}, which does not fit the network.", hint)
    if y.dtype.kind not in "fiu" or not np.isfinite(y).all():
        raise DataError(f"{path} contains values that are not finite real numbers.", hint)
    return torch.from_numpy(y.astype(np.float32))[None]


def _sensing_network(checkpoint: Path) -> DGUNet:
    network, _ = load_network(checkpoint)
    if network.operator is None:
        raise ConfigError(
            f"{checkpoint} is a network for {network.config.task}, without a sampling matrix.",
            "Give a network for cs, or use `dgunet restore`.",
        )
    return network.float()
