"""Deterministic writing of MATLAB files with the structure of SIDD's and DND's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_sidd_blocks(folder: Path, noisy: NDArray[np.uint8], clean: NDArray[np.uint8]) -> None:
    """Write ``Validation{Noisy,Gt}BlocksSrgb.mat``, MATLAB 5, uint8 (scenes, blocks, H, W, 3)."""
    from scipy.io import savemat  # here, because only the generator needs it

    folder.mkdir(parents=True, exist_ok=True)
    for name, blocks in (("Noisy", noisy), ("Gt", clean)):
        variable = f"Validation{name}BlocksSrgb"
        path = folder / f"{variable}.mat"
        savemat(path, {variable: blocks}, do_compression=True)
        # The first 116 bytes are free text, in which scipy writes the time.
        with path.open("r+b") as handle:
            handle.write(b"MATLAB 5.0 MAT-file, dgunet sample data".ljust(116))


def write_dnd(folder: Path, images: list[NDArray[np.float32]], boxes: NDArray[np.integer]) -> None:
    """Write ``info.mat`` and ``images_srgb/NNNN.mat``, MATLAB 7.3, no ground truth.

    Args:
        folder: the root of the archive.
        images: H x W x 3 in [0, 1].
        boxes: rows (r0, c0, r1, c1), counted from 1, inclusive; the same for each image.
    """
    for number, image in enumerate(images, start=1):
        path = folder / "images_srgb" / f"{number:04d}.mat"
        with _matlab73(path) as handle:
            # MATLAB is column-major: HDF5 stores every array transposed.
            pixels = handle.create_dataset("InoisySRGB", data=image.T, compression="gzip")
            pixels.attrs["MATLAB_class"] = np.bytes_("single")
        _write_header(path)
    import h5py  # here, because only the generator needs it

    path = folder / "info.mat"
    with _matlab73(path) as handle:
        info = handle.create_group("info")
        info.attrs["MATLAB_class"] = np.bytes_("struct")
        references = []
        for number in range(len(images)):
            matrix = handle.create_dataset(f"#refs#/{number:02d}", data=boxes.T.astype(float))
            matrix.attrs["MATLAB_class"] = np.bytes_("double")
            references.append(matrix.ref)
        info.create_dataset("boundingboxes", data=[references], dtype=h5py.ref_dtype)
    _write_header(path)


def _matlab73(path: Path):  # type: ignore[no-untyped-def]  # h5py has no types
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    return h5py.File(path, "w", userblock_size=512)


def _write_header(path: Path) -> None:
    """Write the text block that distinguishes MATLAB 7.3 files from other HDF5 files."""
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, dgunet sample data".ljust(116))
        handle.seek(124)
        handle.write(b"\x00\x02IM")
