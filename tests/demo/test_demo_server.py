"""`dgunet demo` writes the files of `dgunet restore`, and keeps to itself whatever it is sent."""

import json
import os
import re
import shutil
import signal
import socket
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from demo_server import running
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

RAIN = "Remove rain (derain-DGUNet, trained here, sample, seconds of training)"
pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def client(demo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("downloads")
    return Client(demo.address, verbose=False, analytics_enabled=False, download_files=folder)


def ask(client, path, memory=1, tiles=False, task=RAIN):
    """The restored file and the notes."""
    _, restored, notes = client.predict(
        handle_file(str(path)), task, memory, tiles, api_name="/restore"
    )
    return Path(restored), notes


def refusal(client, *arguments, **options):
    with pytest.raises(AppError) as refused:
        ask(client, *arguments, **options)
    return str(refused.value)


def save(photo, path):
    if path.suffix == ".tif":
        tifffile.imwrite(path, photo.astype(np.uint16) * 257, photometric="rgb")
    else:
        Image.fromarray(photo).save(path)


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "16 bits.tif", "grün.webp", "d.gif"])
def test_the_file_is_that_of_dgunet_restore(client, dgunet, weights, photo, tmp_path, name):
    save(photo, tmp_path / name)
    restored, notes = ask(client, tmp_path / name)
    done = dgunet("restore", tmp_path / name, "--checkpoint", weights, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (expected,) = (tmp_path / "out").iterdir()
    assert restored.read_bytes() == expected.read_bytes()
    assert restored.suffix == expected.suffix
    told = [line.partition("note: ")[2] for line in done.stdout.splitlines() if "note: " in line]
    assert all(f"note: {note}" in notes for note in told)


def test_the_notes_name_the_weights(client, weights, photo, tmp_path, dgunet):
    save(photo, tmp_path / "a.png")
    _, notes = ask(client, tmp_path / "a.png")
    info = dgunet("checkpoint", "info", weights).stdout
    assert re.search(r"sha256: [0-9a-f]{64}", notes)[0] in info
    assert "weights: build/models/trained/derain-DGUNet/network.safetensors\n" in notes
    assert notes.endswith("commit of the training: unknown")


def test_an_image_over_the_budget_is_refused_or_restored_in_tiles(
    client, dgunet, weights, photo, tmp_path
):
    source = tmp_path / "a.png"
    save(np.tile(photo, (9, 8, 1)), source)
    message = refusal(client, source, memory=0.06)
    assert re.search(r"a\.png: an image of 768x648 needs about 0\.\d\d GB", message), message
    assert "0.06 GB are allowed" in message and "Tick the box" in message
    restored, notes = ask(client, source, memory=0.06, tiles=True)
    side = re.search(r"in tiles of (\d+) pixels", notes)[1]
    assert int(side) < 512
    options = ("--checkpoint", weights, "--tile", side, "--out", tmp_path / "out")
    assert dgunet("restore", source, *options).returncode == 0
    assert restored.read_bytes() == (tmp_path / "out" / "a.png").read_bytes()


def test_nobody_can_ask_for_more_memory_than_the_command_allows(client, photo, tmp_path):
    save(photo, tmp_path / "a.png")
    assert "1000" in refusal(client, tmp_path / "a.png", memory=1000)


def test_a_file_that_is_no_image_is_named_without_its_folder(client, demo, tmp_path):
    (tmp_path / "a.png").write_bytes(b"not an image")
    message = refusal(client, tmp_path / "a.png")
    assert message.startswith("a.png is not a readable image"), message
    assert str(demo.temporary) not in message and "Traceback" not in message


def test_a_task_without_weights_is_refused(client, photo, tmp_path):
    save(photo, tmp_path / "a.png")
    assert "not in the list of choices" in refusal(client, tmp_path / "a.png", task="../../etc")


def send(demo, payload):
    """Press the button with ``payload`` as the file; gives the last event of the answer."""
    config = httpx.get(f"{demo.address}config").json()
    (number,) = [one["id"] for one in config["dependencies"] if one["api_name"] == "restore"]
    body = {"data": [payload, RAIN, 1, False], "fn_index": number, "session_hash": "hostile"}
    httpx.post(f"{demo.address}gradio_api/queue/join", json=body).raise_for_status()
    address = f"{demo.address}gradio_api/queue/data?session_hash=hostile"
    with httpx.stream("GET", address, timeout=60) as stream:
        for line in stream.iter_lines():
            event = json.loads(line.removeprefix("data: ")) if line else {}
            if event.get("msg") in ("process_completed", "close_stream"):
                return event
    raise AssertionError("the stream ended without an answer")


@pytest.mark.parametrize(
    "name", ["../../../escape.png", "/escape.png", "<img src=x onerror=alert(1)>.png", "a\n.png"]
)
def test_the_name_of_an_upload_leads_nowhere_else(demo, photo, tmp_path, name):
    save(photo, tmp_path / "a.png")
    before = {path for path in demo.temporary.parent.iterdir()}
    content = (tmp_path / "a.png").read_bytes()
    answer = httpx.post(f"{demo.address}gradio_api/upload", files={"files": (name, content)})
    if answer.status_code == 200:
        (path,) = answer.json()
        (folder,) = demo.temporary.iterdir()
        assert Path(path).resolve().is_relative_to(folder / "uploads")
        event = send(demo, {"path": path, "meta": {"_type": "gradio.FileData"}})
        assert event["success"], event
        assert "<" not in json.dumps(event["output"]["data"])
    assert {path for path in demo.temporary.parent.iterdir()} == before
    assert not Path("/escape.png").exists()


@pytest.mark.parametrize("path", ["/etc/hostname", "PARAMS", "../../params.yaml", ""])
def test_files_of_the_machine_are_neither_read_nor_served(demo, path):
    path = str(demo.home / "params.yaml") if path == "PARAMS" else path
    event = send(demo, {"path": path, "meta": {"_type": "gradio.FileData"}})
    assert not event["success"]
    assert "profile" not in json.dumps(event)
    assert httpx.get(f"{demo.address}gradio_api/file={path}").status_code in (403, 404)


def test_no_file_of_another_machine_is_fetched(demo):
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/a.png"
        assert httpx.get(f"{demo.address}gradio_api/file={address}").status_code == 403
        event = send(demo, {"path": address, "meta": {"_type": "gradio.FileData"}})
        assert not event["success"]
        with pytest.raises(BlockingIOError):
            other.accept()


@pytest.mark.parametrize("path", ["", "config", "theme.css", "gradio_api/info", "absent"])
def test_every_answer_forbids_the_browser_other_machines(demo, path):
    answer = httpx.get(f"{demo.address}{path}")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self';" in policy and "http" not in policy


def test_one_image_is_restored_at_a_time(demo):
    config = httpx.get(f"{demo.address}config").json()
    buttons = [one for one in config["dependencies"] if one["api_name"] == "restore"]
    assert len(buttons) == 1 and buttons[0]["queue"] is not False
    from dgunet.demo.networks import Choice
    from dgunet.demo.page import Settings, build_page
    from dgunet.demo.uploads import Restorer

    chosen = Choice("a", "derain", Path("a"))
    page = build_page(Settings([chosen], chosen, 10**9, str, bool), Restorer(Path("b"), "cpu"))
    assert [one.concurrency_limit for one in page.fns.values()] == [1]


def test_uploads_are_private_and_earlier_results_are_removed(demo, client, photo, tmp_path):
    (folder,) = demo.temporary.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    for name in ("a.png", "b.png"):
        save(photo, tmp_path / name)
        ask(client, tmp_path / name)
    assert [path.name for path in (folder / "results" / "restored").iterdir()] == ["b.png"]


@pytest.mark.parametrize("busy", [True, False])
def test_ctrl_c_ends_it_and_leaves_nothing(home, photo, tmp_path, busy):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with running(home, temporary, "--memory", "8GB") as demo:
        if busy:
            save(np.tile(photo, (14, 14, 1)), tmp_path / "large.png")
            client = Client(demo.address, verbose=False, analytics_enabled=False)
            job = client.submit(
                handle_file(str(tmp_path / "large.png")), RAIN, 8, False, api_name="/restore"
            )
            while not (job.status().progress_data or job.done()):
                time.sleep(0.02)
            assert not job.done(), "the image is too small to interrupt its restoration"
        code, out, err = demo.stop(signal.SIGINT)
    assert (code, err) == (0, "")
    assert out == "stopped; the uploaded and the restored images were removed\n"
    assert list(temporary.iterdir()) == []


def test_problems_before_the_start_are_said_in_one_line(
    dgunet, home, weights, monkeypatch, tmp_path
):
    monkeypatch.chdir(home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options, code, message in (
            (("--port", port), 1, f"cannot listen at 127.0.0.1, port {port}"),
            (("--task", "denoise"), 1, "There are weights for: derain, deblur."),
            (("--checkpoint", tmp_path / "absent.safetensors"), 1, "does not exist"),
            (("--memory", "much"), 2, "'much' is not a size such as 2GiB"),
        ):
            done = dgunet("demo", *options)
            assert (done.returncode, done.stdout) == (code, ""), done
            assert message in " ".join(done.stderr.replace("│", " ").split()), done.stderr
    shutil.copy(home / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "there are no weights at" in dgunet("demo").stderr
    assert os.environ.get("GRADIO_TEMP_DIR") is None
