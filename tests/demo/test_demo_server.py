"""`dgunet demo` writes the files of `dgunet restore`, and keeps to itself whatever it is sent."""

import contextlib
import json
import os
import re
import shutil
import socket
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from demo_server import RAIN, events, payload, save, send, upload
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def client(demo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("downloads")
    return Client(demo.address, verbose=False, analytics_enabled=False, download_files=folder)


def ask(client, path, memory=8, task=RAIN):
    """The restored file and the notes."""
    _, restored, notes = client.predict(handle_file(str(path)), task, memory, api_name="/restore")
    return Path(restored), notes


def refusal(client, *arguments, **options):
    with pytest.raises(AppError) as refused:
        ask(client, *arguments, **options)
    return str(refused.value)


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


def test_an_image_over_the_budget_is_refused_or_restored_in_strips(client, demo, photo, tmp_path):
    source = tmp_path / "a.png"
    save(np.tile(photo, (5, 5, 1)), source)
    whole, notes = ask(client, source, memory=8)
    assert "strips" not in notes
    assert "a.png" in refusal(client, source, memory=0.1)
    own = psutil.Process(demo.process.pid).memory_info().rss / 1e9
    for budget in np.arange(own, own + 1, 0.04):  # its libraries take an unknown part
        with contextlib.suppress(AppError):
            restored, notes = ask(client, source, memory=round(float(budget), 2))
            break
    assert int(re.search(r"restored in (\d+) strips", notes)[1]) > 1
    difference = np.subtract(*(np.asarray(Image.open(one), int) for one in (restored, whole)))
    assert np.abs(difference).max() <= 1, "rounding of the last level"


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


@pytest.mark.parametrize(
    "name", ["../../../escape.png", "/escape.png", "<img src=x onerror=alert(1)>.png", "a\n.png"]
)
def test_the_name_of_an_upload_leads_nowhere_else(demo, photo, tmp_path, name):
    save(photo, tmp_path / "a.png")
    before = set(demo.temporary.parent.iterdir())
    content = (tmp_path / "a.png").read_bytes()
    if path := upload(demo, name, content):
        (folder,) = demo.temporary.iterdir()
        assert Path(path).resolve().is_relative_to(folder / "uploads")
        event = send(demo, path)
        assert event["success"], event
        assert "<" not in json.dumps(event["output"]["data"])
    assert set(demo.temporary.parent.iterdir()) == before
    assert not Path("/escape.png").exists()


@pytest.mark.parametrize("path", ["/etc/hostname", "PARAMS", "../../params.yaml", ""])
def test_files_of_the_machine_are_neither_read_nor_served(demo, path):
    path = str(demo.home / "params.yaml") if path == "PARAMS" else path
    event = send(demo, path)
    assert not event["success"]
    assert "profile" not in json.dumps(event)
    assert httpx.get(f"{demo.address}gradio_api/file={path}").status_code in (403, 404)


def test_no_file_of_another_machine_is_fetched(demo):
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/a.png"
        assert httpx.get(f"{demo.address}gradio_api/file={address}").status_code == 403
        event = send(demo, address)
        assert not event["success"]
        with pytest.raises(BlockingIOError):
            other.accept()


@pytest.mark.parametrize("path", ["", "config", "theme.css", "gradio_api/info", "absent"])
def test_every_answer_forbids_the_browser_other_machines(demo, path):
    answer = httpx.get(f"{demo.address}{path}")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self';" in policy and "http" not in policy


def test_one_image_is_restored_at_a_time(demo, photo, tmp_path):
    save(np.tile(photo, (2, 2, 1)), tmp_path / "a.png")
    path = upload(demo, "a.png", (tmp_path / "a.png").read_bytes())
    order = [
        one
        for one in events(demo, payload(path), payload(path))
        if one["msg"].startswith("process_")
    ]
    assert [one["msg"] for one in order] == ["process_starts", "process_completed"] * 2
    assert all(one["success"] for one in order[1::2])


def test_the_progress_has_the_time_left(demo, photo, tmp_path):
    save(np.tile(photo, (2, 2, 1)), tmp_path / "a.png")
    path = upload(demo, "a.png", (tmp_path / "a.png").read_bytes())
    told = [
        one["progress_data"][0] for one in events(demo, payload(path)) if one["msg"] == "progress"
    ]
    parts = [one["progress"] for one in told]
    assert parts == sorted(parts) and 0 < parts[0] <= 1
    assert all(one["desc"].endswith(" left") for one in told)


def test_uploads_are_private_and_earlier_results_are_removed(demo, client, photo, tmp_path):
    (folder,) = demo.temporary.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    for name in ("a.png", "b.png"):
        save(photo, tmp_path / name)
        ask(client, tmp_path / name)
    assert [path.name for path in (folder / "results" / "restored").iterdir()] == ["b.png"]


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
            (("--memory", "much"), 1, "--memory 'much' is not a size. Give one such as 8GiB."),
        ):
            done = dgunet("demo", *options)
            assert (done.returncode, done.stdout) == (code, ""), done
            assert message in " ".join(done.stderr.replace("│", " ").split()), done.stderr
    shutil.copy(home / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "there are no weights at" in dgunet("demo").stderr
    assert os.environ.get("GRADIO_TEMP_DIR") is None
