"""Take the screenshots of docs/images from the results of `make reproduce` in a headless Chromium.

Requires Chromium (Debian: apt-get install chromium). It is controlled with the DevTools protocol
to close MLflow's assistant and to expand long texts before a screenshot is taken. The sample's
deraining network is registered first, so that there is a registered model to show.

Usage: python docs/make_screenshots.py [FILE.png ...]
"""

import argparse
import base64
import contextlib
import io
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import websocket
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


def main() -> None:
    """Take all screenshots, or those named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE.png", help="only these; default: all")
    wanted = set(parser.parse_args().files)
    with mlflow_ui() as server, Browser() as browser:
        for shot in shots(server):
            if not wanted or shot.file in wanted:
                browser.take(shot)
                print(IMAGES / shot.file)


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
    report = (ROOT / "build" / "report.html").as_uri()
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
        Shot("report.png", report, (1500, 1250), ()),
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


def answer(address: str, seconds: float, method: str = "GET") -> bytes:
    """Return the response of ``address``, retrying for ``seconds`` until it responds."""
    end = time.monotonic() + seconds
    while True:
        try:
            request = urllib.request.Request(address, method=method)
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


class Browser:
    """A headless Chromium."""

    def __enter__(self) -> "Browser":
        self.profile = Path(tempfile.mkdtemp())
        quiet = ("gpu", "quic", "background-networking", "component-update", "sync")
        command = ["chromium", "--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars"]
        command += [f"--disable-{name}" for name in quiet]
        command += [f"--user-data-dir={self.profile}", "--remote-debugging-port=0", "about:blank"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port_file = self.profile / "DevToolsActivePort"
        while not port_file.exists() or not port_file.read_text(encoding="utf-8"):
            time.sleep(0.2)
        tools = f"http://127.0.0.1:{port_file.read_text(encoding='utf-8').splitlines()[0]}"
        tab = json.loads(answer(f"{tools}/json/new", 60, "PUT"))
        self.tab = websocket.create_connection(
            tab["webSocketDebuggerUrl"], timeout=120, suppress_origin=True
        )
        self.calls = 0
        return self

    def __exit__(self, *_: object) -> None:
        self.tab.close()
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def take(self, shot: Shot) -> None:
        """Open the page, wait until it is stable, and write its screenshot."""
        width, height = shot.size
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", size)
        self.call("Page.navigate", {"url": "about:blank"})
        self.call("Page.navigate", {"url": shot.address})
        self.rest()
        for script in shot.scripts:
            self.call("Runtime.evaluate", {"expression": script})
            self.rest()
        screenshot = self.call("Page.captureScreenshot", {"format": "png"})["data"]
        IMAGES.mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(base64.b64decode(screenshot))) as image:
            # 256 colours are enough for a user interface, and a third of the bytes.
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(IMAGES / shot.file)

    def rest(self, quiet: float = 4, longest: float = 40) -> None:
        """Wait until the page is unchanged for ``quiet`` seconds, at most ``longest`` seconds."""
        measure = "document.body.innerText.length + document.querySelectorAll('*').length"
        end, before, since = time.monotonic() + longest, None, time.monotonic()
        while time.monotonic() < end:
            time.sleep(0.5)
            now = self.call("Runtime.evaluate", {"expression": measure})["result"].get("value")
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > quiet:
                return

    def call(self, method: str, params: dict) -> dict:
        """Execute a command of the DevTools protocol and return its result."""
        self.calls += 1
        self.tab.send(json.dumps({"id": self.calls, "method": method, "params": params}))
        while True:
            message = json.loads(self.tab.recv())
            if message.get("id") == self.calls:
                return message["result"]


if __name__ == "__main__":
    main()
