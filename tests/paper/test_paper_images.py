"""The images of the HTML report: lossless crops, and a page that is not too large."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from dgunet.paper.html_report import write_report
from dgunet.paper.report_images import CROPS, Figure, FigureGroup, Panel, centre, page_within_limit
from dgunet.paper.table_building import build_tables

SMALL = 400_000
"""A limit that few crops of noise exceed."""


def noise(seed, side=256):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def smooth(side=256):
    return np.broadcast_to(np.arange(side, dtype=np.uint8)[:, None, None], (side, side, 3)).copy()


def group(number, count=3, *, table=1, image=noise, stages=False):
    figures = (
        Figure(
            f"figure {number}.{i}",
            tuple(Panel(name, image(i)) for name in ("degraded", "DGUNet", "true")),
            (("PSNR", "30.00 dB"),),
            stages=stages,
        )
        for i in range(count)
    )
    return FigureGroup(table, f"set {number}", tuple(figures), ("A note.",))


def render(groups):
    """A stand-in for the template: every address, title and note once."""
    lines = []
    for each in groups:
        lines += [f"{figure.title}\n" for figure in each.figures]
        lines += [panel.address for figure in each.figures for panel in figure.panels]
        lines += each.notes
    return "\n".join(lines)


@pytest.mark.parametrize("image", [noise(1, 64), smooth(64)])
def test_a_crop_has_exactly_the_pixels_of_its_image(image):
    kind, _, code = Panel("true", image).address.removeprefix("data:image/").partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(code))) as decoded:
        assert decoded.format == kind.upper()
        assert np.array_equal(np.asarray(decoded.convert("RGB")), image)


def test_few_figures_have_the_largest_crops_and_all_are_shown():
    seen = []
    page = page_within_limit(lambda groups: seen.append(groups) or render(groups), [group(1)])
    assert len(seen) == 1
    assert {p.crop.shape for f in seen[0][0].figures for p in f.panels} == {(256, 256, 3)}
    assert "Left out" not in page and "A note." in page


def test_many_figures_have_smaller_crops():
    groups = [group(number, image=lambda _: smooth()) for number in range(30)]
    seen = []
    page_within_limit(lambda shown: seen.append(shown) or render(shown), groups)
    shapes = {p.crop.shape[:2] for g in seen[-1] for f in g.figures for p in f.panels}
    assert shapes == {(CROPS[-1], CROPS[-1])}
    assert np.array_equal(seen[-1][0].figures[0].panels[0].crop, centre(smooth(), CROPS[-1]))


def test_figures_that_do_not_fit_are_named_and_the_page_stays_below_its_limit():
    groups = [*(group(number) for number in range(3)), group("stages", 1, stages=True)]
    titles = {figure.title for each in groups for figure in each.figures}
    page = page_within_limit(render, groups, limit=SMALL)
    assert len(page.encode()) <= SMALL
    shown = {title for title in titles if f"{title}\n" in page}
    left_out = set(re.findall(r"figure \w+\.\d", "".join(re.findall("Left out.*", page))))
    assert shown | left_out == titles and not shown & left_out
    assert "figure stages.0" in shown, "the stages stay longest"
    assert shown - {"figure stages.0"} == {f"figure {number}.0" for number in range(len(shown) - 1)}
    assert "Left out, because the page would exceed 0.4 MB: figure 0.1, figure 0.2." in page
    one_more = sum(len(panel.address) for panel in groups[0].figures[0].panels)
    assert len(page.encode()) + one_more / 4 > SMALL, "one more in crops of 128x128 does not fit"


def test_a_page_that_is_too_large_without_figures_has_none():
    page = page_within_limit(lambda groups: "x" * SMALL + render(groups), [group(1)], limit=SMALL)
    assert "data:image" not in page and "figure 1.0, figure 1.1, figure 1.2" in page


def test_the_whole_page_of_all_sets_and_variants_is_below_ten_megabytes(campaign, tmp_path):
    """38 results, three images each, as noise, which no encoding makes smaller."""
    groups = [group(number, table=1 + number % 4) for number in range(38)]
    tables = build_tables(campaign("paper"), profile="paper")
    out = write_report(tables, {}, tmp_path / "report.html", figures=groups)
    text = out.read_text()
    assert out.stat().st_size <= 10_000_000
    assert out.stat().st_size > 9_500_000, "as many figures as fit"
    left_out = re.findall(r"figure \d+\.\d", "".join(re.findall("Left out.*", text)))
    shown = set(re.findall(r"figcaption>(figure \d+\.\d)", text))
    assert len(left_out) + len(shown) == 3 * 38 and not shown & set(left_out)


def test_what_is_missing_is_said_and_the_script_is_there_only_for_figures(campaign, tmp_path):
    tables = build_tables(campaign("paper"), profile="paper")
    absent = FigureGroup(2, "GoPro, DGUNet", notes=("build/prepared/GoPro is missing.",))
    text = write_report(tables, {}, tmp_path / "a.html", figures=[absent]).read_text()
    part = text.partition('<h2 id="head2">')[2].partition('<h2 id="head3">')[0]
    assert "GoPro, DGUNet: build/prepared/GoPro is missing." in part
    assert "<script>" not in text
    text = write_report(tables, {}, tmp_path / "b.html", figures=[group(1)]).read_text()
    assert text.count("<script>") == 1 and "<script src" not in text
    for name in ("degraded", "DGUNet", "true"):
        assert text.count(f'alt="set 1, figure 1.0: {name}"') == 1
    assert '<option value="0">degraded | DGUNet</option>' in text
    assert '<option value="1">DGUNet | true</option>' in text
    assert 'aria-label="Divider, set 1, figure 1.0"' in text
    assert "figure 1.0; PSNR 30.00 dB" in text
