"""Take the screenshots of docs/images from the results of `make reproduce` in a headless Chromium.

Requires Chromium (Debian: apt-get install chromium). It is controlled to close MLflow's assistant,
to expand long texts and to restore an image in the demo before a screenshot is taken. The sample's
deraining network is registered first, so that there is a registered model to show.

Usage: python docs/make_screenshots.py [FILE.png ...]
"""

import argparse
import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headless_browser import Browser, answer
from PIL import Image

from dgunet.tools.model_promotion import register_trained
from dgunet.tracking import RunInfo, TrackingFolders
from dgunet.tracking.index import in_mlflow
from dgunet.tracking.registry import Registry
from dgunet.tracking.run_selection import RunQuery, latest_finished, select_runs
from dgunet.tracking.saved_views import view_id
from dgunet.tracking.ui_links import CHARTS, compare_url, page, run_url, view_page
from dgunet.tracking.ui_port import remember_ui_port, ui_port

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PORT = 5055
DEMO = "demo.png"
CLOSE_ASSISTANT = """
for (const button of document.querySelectorAll('button'))
  if (/^close/i.test(button.getAttribute('aria-label') || '')) button.click();
"""
SHOW_MORE = """
for (const element of document.querySelectorAll('button, a, span'))
  if (element.textContent.trim() === 'Show more') { element.click(); break; }
"""

HIDE_FOLDER = """
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text; (text = texts.nextNode()); )
  text.textContent = text.textContent.replaceAll(FOLDER, 'file:///path/of/the/clone');
""".replace("FOLDER", json.dumps(ROOT.as_uri()))


@dataclass(frozen=True)
class Shot:
    """One screenshot: file name, address of the page, size, and scripts to run before."""

    file: str
    address: str
    size: tuple[int, int]
    scripts: tuple[str, ...] = (CLOSE_ASSISTANT,)
    dark: bool = False


REPORT = (ROOT / "build" / "report.html").as_uri()
TO_IMAGES = """
document.querySelector('details.images').scrollIntoView({behavior: 'instant'});
"""
TO_TABLE = "document.getElementById('table1').scrollIntoView({behavior: 'instant'});"
REPORTS = (
    Shot("report.png", REPORT, (1500, 1250), (TO_TABLE,)),
    Shot("report-1280.png", REPORT, (1280, 900), (TO_IMAGES,)),
    Shot("report-1280-dark.png", REPORT, (1280, 900), (), dark=True),
    Shot("report-390.png", REPORT, (390, 844), ()),
    Shot("report-390-dark.png", REPORT, (390, 844), (TO_IMAGES,), dark=True),
)
"""Of the report, which needs no server; its images are those of the sample."""


def main() -> None:
    """Take all screenshots, or those named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE.png", help="only these; default: all")
    wanted = set(parser.parse_args().files)
    with Browser() as browser:
        for shot in REPORTS:
            if not wanted or shot.file in wanted:
                take(browser, shot)
        if not wanted or wanted - {DEMO, *(shot.file for shot in REPORTS)}:
            with mlflow_ui() as server:
                for shot in shots(server):
                    if not wanted or shot.file in wanted:
                        take(browser, shot)
        if not wanted or DEMO in wanted:
            with demo() as address:
                restore_in(browser, address)
                save(browser, DEMO)


def shots(server: str) -> list[Shot]:
    """The screenshots, with addresses on ``server``."""
    layout = TrackingFolders.at(ROOT)
    version = register_trained(Registry(layout), "derain", profile="sample", variant="DGUNet")
    # Local runs of pipelines have campaigns of their own.
    runs = latest_finished(
        select_runs(in_mlflow(layout), RunQuery(facts={"campaign": "sample-local"}))
    )

    def on_server(address: str | None) -> str:
        return f"{server}/#{str(address).partition('/#')[2]}"

    def only(table: int | None = None, **facts: str) -> list[RunInfo]:
        return select_runs(runs, RunQuery(table, facts))

    ablations = [run for run in only(5) if "psnr" in run.metrics]
    experiment = str(ablations[0].experiment_id)
    campaign = on_server(run_url(only(stage="tables")[0]))
    images = on_server(run_url(only(stage="evaluate", dataset="SIDD")[0]))
    return [
        Shot("mlflow-runs.png", f"{server}/{view_page(experiment, view_id(5))}", (1500, 700)),
        Shot(
            "mlflow-ablation.png",
            f"{server}/{view_page(experiment, view_id(5), **CHARTS)}",
            (1500, 1000),
        ),
        Shot("mlflow-parallel.png", on_server(compare_url(ablations)), (1400, 1000)),
        Shot("mlflow-campaign.png", campaign, (1300, 1500), (CLOSE_ASSISTANT, SHOW_MORE)),
        Shot(
            "mlflow-campaign-table.png",
            artifact(campaign, "tables/table1.json"),
            (1700, 900),
            (CLOSE_ASSISTANT, HIDE_FOLDER),
        ),
        Shot(
            "mlflow-per-image.png",
            artifact(images, "per_image.json"),
            (1700, 700),
            (CLOSE_ASSISTANT, HIDE_FOLDER),
        ),
        Shot("mlflow-model.png", f"{server}/{page(f'models/{version.name}')}", (1400, 700)),
    ]


def artifact(run: str, path: str) -> str:
    """The address of an artifact of the run with the address ``run``."""
    place, _, query = run.partition("?")
    return f"{place}/artifacts/{path}?{query}"


@contextlib.contextmanager
def mlflow_ui() -> Iterator[str]:
    """Start MLflow's UI on the project's store and yield its address."""
    command = ["dgunet", "tracking", "ui", "--port", str(PORT)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{PORT}"
    folders = TrackingFolders.at(ROOT)
    before = ui_port(folders)
    try:
        answer(f"{address}/health", 120)
        yield address
    finally:
        process.terminate()
        process.wait()
        remember_ui_port(folders, before)


@contextlib.contextmanager
def demo() -> Iterator[str]:
    """Start `dgunet demo` with the sample's deraining network, and yield its address."""
    command = ["dgunet", "demo", "--task", "derain", "--memory", "2GB"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        yield process.stdout.readline().split()[0]
    finally:
        process.terminate()
        process.wait()


def restore_in(browser: Browser, address: str) -> None:
    """Restore an image of the sample in the demo, and wait for the result."""
    browser.open(address, (1100, 1010))
    image = sorted((ROOT / "data/sample/test/Rain100L/input").glob("*.png"))[0]
    browser.choose_file("#upload input[type=file]", image)
    browser.until("document.querySelector('#upload').innerText.includes('.png')")
    browser.rest(1)  # the name of the file moves the button
    browser.click("#restore")
    browser.until("document.querySelector('#notes textarea').value")
    browser.evaluate("window.scrollTo(0, 0)")
    browser.rest()


def take(browser: Browser, shot: Shot) -> None:
    """Open the page, run its scripts, and write its screenshot."""
    colours = {"name": "prefers-color-scheme", "value": "dark" if shot.dark else "light"}
    browser.call("Emulation.setEmulatedMedia", {"features": [colours]})
    browser.open(shot.address, shot.size)
    for script in shot.scripts:
        browser.evaluate(script)
        browser.rest()
    save(browser, shot.file)


def save(browser: Browser, file: str) -> None:
    """Write a screenshot of what the browser shows to the folder of the images."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    # 256 colours are enough for a user interface, and a third of the bytes.
    browser.screenshot().quantize(256, dither=Image.Dither.NONE).save(IMAGES / file)
    print(IMAGES / file)


if __name__ == "__main__":
    main()
