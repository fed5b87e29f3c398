"""The images of the HTML report: crops of test images, and how many of them fit on the page."""

from __future__ import annotations

import base64
import io
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from PIL import Image

from dgunet.imaging.arrays import Array
from dgunet.imaging.strips import as_rgb8

CROPS = (256, 192, 128)
"""Largest sides in pixels of a crop; the first with which the figures are expected to fit."""

SHOWN = 256
"""Smaller crops are shown in whole multiples of their pixels, up to this width."""

LIMIT = 10_000_000
"""Most bytes of the page."""

FIGURES = 7_500_000
"""Bytes of the page that figures may take when the crops are chosen; the rest are the tables."""

BYTES = 1.85
"""Bytes of a pixel on the page; measured on photographs of Rain100L and GoPro, in base64."""


@dataclass(frozen=True)
class Panel:
    """One crop with its name, such as "degraded"; uint8 (H, W, 3)."""

    name: str
    crop: Array

    @property
    def width(self) -> int:
        """Width on the page in CSS pixels."""
        width: int = self.crop.shape[1]
        return width * max(1, SHOWN // width)

    @cached_property
    def address(self) -> str:
        """The crop in a ``data:`` address, without loss: as PNG or WebP, whichever is smaller."""
        image = Image.fromarray(self.crop)
        png = _encoded(image, "PNG", optimize=True)
        webp = _encoded(image, "WEBP", lossless=True, quality=75, method=2)
        kind, content = ("png", png) if len(png) <= len(webp) else ("webp", webp)
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class Figure:
    """The panels of one test image, from left to right.

    Attributes:
        title: rank and name of the image.
        panels: degraded, restored and true, or the stages.
        values: names and values of the scores of the whole image.
        stages: whether the panels are stages, which are not compared in pairs.
    """

    title: str
    panels: tuple[Panel, ...]
    values: tuple[tuple[str, str], ...] = ()
    stages: bool = False

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Positions of the panels that a reader can compare with the slider."""
        return tuple((i, i + 1) for i in range(len(self.panels) - 1)) if not self.stages else ()


@dataclass(frozen=True)
class FigureGroup:
    """The figures of one test set and row under a table.

    Attributes:
        table: number of the table that the test set belongs to.
        title: test set and row.
        figures: of this set.
        notes: what is missing and why, in sentences.
        source: SHA-256 of the per-image table that has the scores; "" without scores.
    """

    table: int
    title: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""


def centre(image: Array, side: int) -> Array:
    """Cut at most ``side`` x ``side`` pixels from the centre of an image (H, W, ...)."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def centre_crop(image: Array) -> Array:
    """Cut at most 256x256 pixels from the centre; as uint8 RGB.

    Args:
        image: as for `as_rgb8`.
    """
    return as_rgb8(centre(image, CROPS[0]))


def page_within_limit(
    render: Callable[[Sequence[FigureGroup]], str],
    groups: Sequence[FigureGroup],
    *,
    limit: int = LIMIT,
) -> str:
    """Render the page with crops of a size that fits, and leave out figures if none does.

    The stages stay longest, then the first figure of every group, then the second ones. A group
    names the figures that were left out.

    Args:
        render: makes the page with the given figures.
        groups: all figures.
        limit: most bytes of the page, if it has not more without any figure.
    """
    shown = _in_crops(groups, round(limit * FIGURES / LIMIT))
    page = render(shown)
    if len(page.encode()) <= limit:
        return page
    order = sorted(
        ((g, f) for g, group in enumerate(shown) for f in range(len(group.figures))),
        key=lambda at: (not shown[at[0]].figures[at[1]].stages, at[1], at[0]),
    )

    def exceeds(count: int) -> bool:
        return len(render(_only(shown, order[:count], limit)).encode()) > limit

    count = bisect_left(range(1, len(order) + 1), True, key=exceeds)
    return render(_only(shown, order[:count], limit))


def _in_crops(groups: Sequence[FigureGroup], budget: int) -> list[FigureGroup]:
    """The figures in the largest crops that are expected to take at most ``budget`` bytes."""
    for side in CROPS:
        cut = [_cropped(group, side) for group in groups]
        panels = (panel for group in cut for figure in group.figures for panel in figure.panels)
        if sum(p.crop.shape[0] * p.crop.shape[1] for p in panels) * BYTES <= budget:
            break
    return cut


def _cropped(group: FigureGroup, side: int) -> FigureGroup:
    figures = (
        replace(
            figure,
            panels=tuple(Panel(panel.name, centre(panel.crop, side)) for panel in figure.panels),
        )
        for figure in group.figures
    )
    return replace(group, figures=tuple(figures))


def _only(
    groups: Sequence[FigureGroup], kept: Iterable[tuple[int, int]], limit: int
) -> list[FigureGroup]:
    """The groups with the figures at ``kept`` (group, figure), and a note for the others."""
    there = set(kept)
    made = []
    for g, group in enumerate(groups):
        left_out = [f.title for i, f in enumerate(group.figures) if (g, i) not in there]
        figures = tuple(f for i, f in enumerate(group.figures) if (g, i) in there)
        why = f"Left out, because the page would exceed {limit / 1e6:g} MB: "
        notes = (f"{why}{', '.join(left_out)}.",) if left_out else ()
        made.append(replace(group, figures=figures, notes=(*group.notes, *notes)))
    return made


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
