"""A headless Chromium, controlled with the DevTools protocol: pages, clicks, files, pictures."""

import base64
import io
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import websocket
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")
TEXT = "document.body.innerText.slice(0, 500)"


def find_browser() -> str | None:
    """The path of a Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


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
    """A headless Chromium with one tab.

    Attributes:
        requested: the addresses that its pages have asked for.
    """

    def __enter__(self) -> "Browser":
        self.profile = Path(tempfile.mkdtemp())
        command = [find_browser() or NAMES[0], "--headless", "--no-sandbox", "--no-first-run"]
        command += ["--hide-scrollbars", *(f"--disable-{name}" for name in QUIET)]
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
        self.requested: list[str] = []
        self.call("Network.enable", {})
        return self

    def __exit__(self, *_: object) -> None:
        self.tab.close()
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def open(self, address: str, size: tuple[int, int]) -> None:
        """Open the page in a window of ``size`` (width, height), and wait until it is stable."""
        width, height = size
        window = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", window)
        self.call("Page.navigate", {"url": "about:blank"})
        self.call("Page.navigate", {"url": address})
        self.rest()

    def evaluate(self, script: str) -> object:
        """The value of a JavaScript expression in the page; None if it fails."""
        asked = {"expression": script, "returnByValue": True}
        return self.call("Runtime.evaluate", asked)["result"].get("value")

    def until(self, condition: str, seconds: float = 60) -> object:
        """Wait until a JavaScript expression has a true value, no element, and return it.

        Raises:
            TimeoutError: if it has none after ``seconds``.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.evaluate(condition):
                return value
            time.sleep(0.1)
        raise TimeoutError(f"not after {seconds} s: {condition}; {self.evaluate(TEXT)}")

    def choose_file(self, selector: str, path: Path) -> None:
        """Give ``path`` to the input that the CSS ``selector`` names, once it is there."""
        wanted = {"expression": f"document.querySelector({json.dumps(selector)})"}
        self.until(f"{wanted['expression']} !== null")
        element = self.call("Runtime.evaluate", wanted)["result"]["objectId"]
        self.call("DOM.setFileInputFiles", {"files": [str(path)], "objectId": element})

    def click(self, selector: str) -> None:
        """Click at the middle of the element that the CSS ``selector`` names."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        place = self.box(selector)
        middle = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        self.drag(middle, middle)

    def box(self, selector: str) -> dict:
        """The place of an element in the window: ``x``, ``y``, ``width`` and ``height``."""
        found = f"document.querySelector({json.dumps(selector)})"
        return dict(self.evaluate(f"{found}.getBoundingClientRect().toJSON()"))  # type: ignore[call-overload]

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at ``start``, move it to ``end`` in steps, and release it there."""
        way = [
            tuple(a + (b - a) * step / 10 for a, b in zip(start, end, strict=True))
            for step in range(11)
        ]
        moves = [("mouseMoved", point) for point in way]
        for kind, (x, y) in (moves[0], ("mousePressed", start), *moves, ("mouseReleased", end)):
            event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", event)

    def screenshot(self) -> Image.Image:
        """A picture of the window."""
        taken = self.call("Page.captureScreenshot", {"format": "png"})["data"]
        with Image.open(io.BytesIO(base64.b64decode(taken))) as image:
            return image.convert("RGB")

    def rest(self, quiet: float = 4, longest: float = 40) -> None:
        """Wait until the page is unchanged for ``quiet`` seconds, at most ``longest`` seconds."""
        measure = "document.body.innerText.length + document.querySelectorAll('*').length"
        end, before, since = time.monotonic() + longest, None, time.monotonic()
        while time.monotonic() < end:
            time.sleep(0.5)
            now = self.evaluate(measure)
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
            if message.get("method") == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
            if message.get("id") == self.calls:
                return message["result"]
