"""The images of the report in a real browser: sliders, a narrow window, paper, no scripts."""

from itertools import pairwise

import numpy as np
import pytest
from headless_browser import Browser, find_browser

from dgunet.paper.html_report import write_report
from dgunet.paper.report_images import Figure, FigureGroup, Panel
from dgunet.paper.table_building import build_tables

pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(find_browser() is None, reason="there is no Chromium on this machine"),
]
COLOURS = {"degraded": (255, 0, 0), "DGUNet": (0, 255, 0), "true": (0, 0, 255)}
SLIDER = "document.querySelector('figure.compared input')"
IMAGES = "[...document.querySelectorAll('figure.compared img')].map(i => i.getBoundingClientRect())"
WIDTHS = "[document.documentElement.scrollWidth, document.body.scrollWidth]"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report with one image whose panels have one colour each, and a strip of stages."""
    sides = [Panel(name, np.full((256, 256, 3), rgb, np.uint8)) for name, rgb in COLOURS.items()]
    name = "a name of an image that is much longer than those of the benchmarks are " * 3
    strip = tuple(Panel(f"stage {k}", np.zeros((128, 128, 3), np.uint8)) for k in range(1, 8))
    figures = Figure(f"best: image {name}", tuple(sides), (("PSNR", "30.00 dB"),))
    groups = [
        FigureGroup(1, "Test100, DGUNet", (figures, Figure("image 1", strip, stages=True))),
        FigureGroup(1, "Rain100L, DGUNet", notes=(f"build/{'x' * 90} is missing.",)),
    ]
    out = tmp_path_factory.mktemp("page") / "report.html"
    tables = build_tables([], profile="paper")
    return write_report(tables, {}, out, figures=groups).as_uri()


@pytest.fixture(scope="module")
def browser(address):
    with Browser() as browser:
        browser.open(address, (1280, 900))
        yield browser


@pytest.fixture
def page(browser):
    """The page as it is when it has been opened, in a wide window."""
    resize(browser, 1280)
    choose(browser, "input", 50)
    choose(browser, "select", 0)
    return browser


def resize(browser, width):
    window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", window)


def choose(browser, control, value):
    browser.evaluate(
        f"(control => {{ control.value = {value}; control.dispatchEvent(new Event('input')); }})"
        f"(document.querySelector('figure.compared {control}'))"
    )


def colours(browser):
    """The colours at a quarter and at three quarters of the width of the first image."""
    browser.evaluate(f"{SLIDER}.scrollIntoView({{block: 'end', behavior: 'instant'}})")
    box, picture = browser.box("figure.compared .right img"), np.asarray(browser.screenshot())
    middle = round(box["y"] + box["height"] / 2)
    columns = (round(box["x"] + part * box["width"]) for part in (0.25, 0.75))
    known = {rgb: name for name, rgb in COLOURS.items()}
    return [known[tuple(picture[middle, column].tolist())] for column in columns]


def press(browser, key, times=1):
    for kind in ("rawKeyDown", "keyUp") * times:
        code = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35}[key]
        event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
        browser.call("Input.dispatchKeyEvent", event)


def test_the_divider_moves_with_the_arrow_keys(page):
    assert colours(page) == ["degraded", "DGUNet"]
    page.evaluate(f"{SLIDER}.focus()")
    press(page, "ArrowRight", 3)
    assert page.evaluate(f"{SLIDER}.value") == "53"
    press(page, "End")
    assert colours(page) == ["degraded", "degraded"]
    press(page, "Home")
    assert colours(page) == ["DGUNet", "DGUNet"]
    assert page.evaluate(f"{SLIDER}.ariaValueText") == "0 % degraded"


def test_the_divider_moves_with_the_pointer(page):
    page.evaluate(f"{SLIDER}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = page.box("figure.compared input")
    line = box["y"] + box["height"] / 2
    page.drag((box["x"] + box["width"] / 2, line), (box["x"] + box["width"] * 0.9, line))
    assert 80 < int(page.evaluate(f"{SLIDER}.value")) <= 100
    assert colours(page) == ["degraded", "degraded"]


def test_the_restored_image_can_be_compared_with_the_true_one(page):
    choose(page, "select", 1)
    assert colours(page) == ["DGUNet", "true"]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_its_window(browser, width):
    resize(browser, width)
    browser.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert browser.evaluate(WIDTHS) == [width, width]
    assert browser.evaluate(f"{SLIDER}.getBoundingClientRect().width") > 100


def test_without_scripts_the_images_are_side_by_side(browser, address):
    browser.call("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(address, (390, 844))
        assert_side_by_side(browser)
        assert browser.evaluate(WIDTHS) == [390, 390]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", {"value": False})


def test_on_paper_the_images_are_side_by_side(page):
    page.call("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert_side_by_side(page)
    finally:
        page.call("Emulation.setEmulatedMedia", {"media": ""})


def assert_side_by_side(browser):
    boxes = browser.evaluate(f"{IMAGES}.map(box => [box.left, box.right, box.top])")
    assert len(boxes) == 3
    for (_, right, top), (left, _, other_top) in pairwise(boxes):
        assert right <= left and top == other_top
    assert browser.evaluate(f"{SLIDER}.getBoundingClientRect().width") == 0
