"""The page of `dgunet demo`, used in a real browser: upload, task, Restore, slider, errors."""

import io
import json
import urllib.request

import numpy as np
import pytest
from demo_server import BLUR, save
from headless_browser import Browser, find_browser
from PIL import Image

pytestmark = [
    pytest.mark.xdist_group("demo"),
    pytest.mark.skipif(find_browser() is None, reason="there is no Chromium on this machine"),
]
NOTES = "document.querySelector('#notes textarea').value"
IMAGES = "[...document.querySelectorAll('#compared img')]"


@pytest.fixture(scope="module")
def browser(demo):
    with Browser() as browser:
        browser.open(demo.address, (1200, 1000))
        yield browser


def give(browser, path):
    browser.evaluate("document.querySelector('#upload button[aria-label=Clear]')?.click()")
    browser.choose_file("#upload input[type=file]", path)
    name = json.dumps(path.stem)
    browser.until(f"document.querySelector('#upload').innerText.includes({name})")
    browser.rest(1)  # the name of the file moves the button
    browser.click("#restore")


def strip(image, box, start, end):
    """The columns of a picture between two parts of the width of ``box``."""
    left, top, width, height = (box[name] for name in ("x", "y", "width", "height"))
    part = (left + start * width, top + 0.2 * height, left + end * width, top + 0.8 * height)
    return np.asarray(image.crop(tuple(map(round, part))), float)


def difference(browser, box, source):
    """The mean difference of what is seen right of the middle from an image of the server."""
    with urllib.request.urlopen(source) as response:
        image = Image.open(io.BytesIO(response.read())).convert("RGB")
    expected = Image.new("RGB", (1200, 1000))
    size = round(box["width"]), round(box["height"])
    expected.paste(image.resize(size, Image.Resampling.BICUBIC), (round(box["x"]), round(box["y"])))
    seen = strip(browser.screenshot(), box, 0.6, 0.8)
    return np.abs(seen - strip(expected, box, 0.6, 0.8)).mean()


def test_an_image_is_restored_and_compared_with_the_slider(browser, demo, photo, tmp_path):
    save(photo, tmp_path / "photo.png")
    radio = f"[...document.querySelectorAll('#task label')].find(e => e.innerText == {BLUR!r})"
    browser.until(f"({radio}.click(), {radio}.querySelector('input').checked)")
    give(browser, tmp_path / "photo.png")
    notes = browser.until(NOTES)
    assert "photo.png -> photo.png (96x72" in notes and "deblur-DGUNet" in notes
    browser.until(f"{IMAGES}.length == 2 && {IMAGES}.every(e => e.complete)")
    browser.rest(1)
    before, after = browser.evaluate(f"{IMAGES}.map(e => e.src)")
    box = browser.box("#compared img")
    assert 3 * difference(browser, box, after) < difference(browser, box, before)
    middle = box["y"] + box["height"] / 2
    browser.drag((box["x"] + box["width"] / 2, middle), (box["x"] + box["width"] * 0.9, middle))
    browser.rest(1)
    assert 3 * difference(browser, box, before) < difference(browser, box, after)


def test_a_file_that_is_no_image_is_refused_in_the_page(browser, tmp_path):
    (tmp_path / "letter.png").write_text("<b>not an image</b>")
    give(browser, tmp_path / "letter.png")
    said = browser.until("document.querySelector('[data-testid=toast-body]')?.innerText")
    assert "letter.png is not a readable image" in said and "Traceback" not in said


def test_the_page_asks_only_its_own_server(browser, demo):
    outside = [
        address
        for address in browser.requested
        if not address.startswith((demo.address, "data:", "blob:", "about:"))
    ]
    assert outside == []
    assert sum(address.startswith(demo.address) for address in browser.requested) > 10
