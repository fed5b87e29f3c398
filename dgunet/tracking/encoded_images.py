"""Images as base64 text of PNG or JPEG files, for requests to a served model."""

from __future__ import annotations

import base64
import binascii
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dgunet.system.errors import DataError, DgunetError

if TYPE_CHECKING:
    from dgunet.user_images.decoded import UserImage

_SUFFIXES = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg"}
"""Suffix of a file by its first bytes."""


def decode_image(text: str, name: str) -> UserImage:
    """Decode the base64 text of a PNG or JPEG file; ``name`` stands for it in messages.

    Raises:
        DataError: if it is no such text, or the file is damaged.
        TooLargeError: if the image is too large for the memory.
    """
    from dgunet.user_images.decoding import read_image

    hint = "Send the base64 text of a PNG or JPEG file."
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{name} is not base64 text ({error}).", hint) from error
    suffix = next((end for start, end in _SUFFIXES.items() if content.startswith(start)), None)
    if suffix is None:
        raise DataError(f"{name} is neither a PNG nor a JPEG file.", hint)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"image{suffix}")
        path.write_bytes(content)
        try:
            return read_image(path)
        except DgunetError as error:
            raise type(error)(error.message.replace(str(path), name), error.hint) from error


def encode_png(image: UserImage) -> str:
    """The base64 text of ``image`` as a PNG file with its bit depth, profile and metadata."""
    from dgunet.user_images.encoding import write_image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.png")
        write_image(path, image)
        return base64.b64encode(path.read_bytes()).decode()
