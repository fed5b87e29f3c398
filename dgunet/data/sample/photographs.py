"""Source photographs of the sample data: public domain or CC0, part of scikit-image's wheel."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dgunet.data.readers.images import read_rgb
from dgunet.system.errors import DataError


@dataclass(frozen=True)
class Photograph:
    """One photograph: its file, its licence, and the factor by which the sample downscales it."""

    name: str
    file: str
    author: str
    licence: str
    origin: str
    role: str
    reduce: int

    def pixels(self) -> NDArray[np.float64]:
        """Load the image, H x W x 3 in [0, 1], reduced by averaging ``reduce`` x ``reduce`` blocks.

        Raises:
            DataError: if the installed scikit-image does not contain the file.
        """
        path = _folder() / self.file
        if not path.is_file():
            raise DataError(f"{path} is missing.", "Install the scikit-image of requirements.lock.")
        small = Image.fromarray(read_rgb(path)).reduce(self.reduce)
        return np.asarray(small, dtype=np.float64) / 255.0


def _folder() -> Path:
    # Located without importing skimage.data, which would set up a downloader.
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise DataError(
            "scikit-image is not installed.", "Install it with: pip install 'dgunet[sample]'"
        )
    return Path(spec.origin).parent / "data"


_CC0 = "CC0 1.0"
_PUBLIC = "public domain"

PHOTOGRAPHS = (
    Photograph(
        "astronaut",
        "astronaut.png",
        "NASA (portrait of Eileen Collins)",
        _PUBLIC,
        "NASA Great Images database, https://flic.kr/p/r9qvLn",
        "test",
        2,
    ),
    Photograph(
        "chelsea",
        "chelsea.png",
        "Stefan van der Walt",
        _CC0,
        "given to scikit-image by the photographer",
        "test",
        2,
    ),
    Photograph(
        "camera",
        "camera.png",
        "Lav Varshney",
        _CC0,
        "given to scikit-image by the photographer, scikit-image issue 3927",
        "test",
        2,
    ),
    Photograph(
        "coffee",
        "coffee.png",
        "Rachel Michetti",
        _CC0,
        "given to scikit-image by the photographer, courtesy of Pikolo Espresso Bar",
        "train",
        2,
    ),
    Photograph(
        "rocket",
        "rocket.jpg",
        "SpaceX (launch of DSCOVR)",
        _PUBLIC,
        "SpaceX Photos, https://www.flickr.com/photos/spacexphotos/16511594820",
        "train",
        2,
    ),
    Photograph(
        "hubble",
        "hubble_deep_field.jpg",
        "NASA, ESA (Hubble eXtreme Deep Field)",
        _PUBLIC,
        "HubbleSite, news release 2012-37",
        "train",
        2,
    ),
    Photograph(
        "retina",
        "retina.jpg",
        "Mikael Häggström",
        _CC0,
        "Wikimedia Commons, Fundus_photograph_of_normal_left_eye.jpg, doi:10.15347/wjm/2014.008",
        "train",
        4,
    ),
    Photograph(
        "brick",
        "brick.png",
        "CC0Textures",
        _CC0,
        "https://cc0textures.com/view.php?tex=Bricks25",
        "train",
        2,
    ),
    Photograph(
        "gravel",
        "gravel.png",
        "CC0Textures",
        _CC0,
        "https://cc0textures.com/view.php?tex=Gravel04",
        "train",
        2,
    ),
    Photograph(
        "grass",
        "grass.png",
        "linolafett",
        _CC0,
        "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
        "train",
        2,
    ),
)
"""All photographs; each is used for training or for testing, never for both."""


def photographs(*names: str) -> list[Photograph]:
    """The photographs called ``names``, in that order."""
    known = {photograph.name: photograph for photograph in PHOTOGRAPHS}
    return [known[name] for name in names]


def credits_table() -> str:
    """Markdown table of the photographs with their authors and licences."""
    lines = ["| photograph | used for | author | licence | origin |", "|---|---|---|---|---|"]
    lines += [
        f"| {p.name} | {p.role} | {p.author} | {p.licence} | {p.origin} |" for p in PHOTOGRAPHS
    ]
    return "\n".join(lines) + "\n"
