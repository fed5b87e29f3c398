"""Smaller sample images, for tests that restore them with networks of the published size."""

from PIL import Image

SIDE = 40
"""Pixels: more than a block of compressive sensing, and no multiple of what networks pad to."""


def crop_images(root, *names):
    """Crop all images of the test sets ``names`` in the sample ``root`` to `SIDE` x `SIDE`."""
    for path in sorted(path for name in names for path in (root / "test" / name).rglob("*.*")):
        with Image.open(path) as image:
            small = image.crop((0, 0, SIDE, SIDE))
        path.unlink()  # it may be a link into a cache
        small.save(path)
