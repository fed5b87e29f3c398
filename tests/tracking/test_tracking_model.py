"""The logged model restores images of any size through MLflow's API."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow.artifacts
import mlflow.pyfunc
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

from dgunet import network
from dgunet.system import files
from dgunet.system.errors import ConfigError, DataError
from dgunet.tracking import TrackingFolders, deliver, start_run
from dgunet.tracking.journal.writing import JournalReader
from dgunet.tracking.serving import RestorationModel

ROOT = Path(__file__).parents[2]
TAGS = {"stage": "train", "profile": "sample"}
TINY: dict[str, Any] = {"n_feat": 8, "scale": 4, "stages": 3}


def log(weights: Path, name: str) -> str:
    """Log ``weights`` in a new run; return the ID of the run."""
    with start_run("dgunet/table-1", name, tags=TAGS, params={}) as run:
        run.log_network(weights, name, step=12, params={"stages": 3})
    assert run.run_id is not None
    return run.run_id


@pytest.mark.parametrize(("task", "ratio"), [("derain", None), ("cs", 10)])
def test_the_logged_model_restores_images_of_any_size(
    project: TrackingFolders,
    client: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    ratio: int | None,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(project.uri))
    torch.manual_seed(0)
    net = network.DGUNet(network.preset(task, ratio=ratio, **TINY)).eval()
    weights = tmp_path / "network.safetensors"
    network.save_network(net, weights, {})
    run = client.get_run(log(weights, f"{task}-DGUNet+"))
    (output,) = run.outputs.model_outputs
    assert output.step == 12
    made = client.get_logged_model(output.model_id)
    assert made.status == "READY" and made.source_run_id == run.info.run_id
    assert made.tags["checkpoint.sha256"] == files.sha256_file(weights)
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    channels = net.config.channels
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, channels, -1, -1)
    for shape in ((1, channels, 32, 32), (2, channels, 21, 50)):
        images = np.random.default_rng(0).random(shape, dtype=np.float32)
        restored = loaded.predict(images)
        with torch.inference_mode():
            expected = net(torch.from_numpy(images))[-1].clamp(0, 1).numpy()
        np.testing.assert_array_equal(restored, expected)
    with pytest.raises(MlflowException):
        loaded.predict(np.zeros((1, channels + 1, 8, 8), np.float32))
    example = loaded.metadata.load_input_example(
        mlflow.artifacts.download_artifacts(made.model_uri)
    )
    assert example.shape == (1, channels, 16, 16) and loaded.predict(example).shape == example.shape


def test_a_lost_response_does_not_duplicate_the_model(
    project: TrackingFolders, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model was created but its ID not received; the second attempt continues with it."""
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    weights = tmp_path / "network.safetensors"
    network.save_network(network.DGUNet(network.preset("derain", **TINY)), weights, {})
    with start_run("dgunet/table-1", "train", tags=TAGS, params={}) as run:
        run.log_network(weights, "derain")
    create = client.create_logged_model

    def create_and_lose(*arguments: Any, **named: Any) -> Any:
        create(*arguments, **named)
        raise ConnectionError("the answer is lost")

    with monkeypatch.context() as patch:
        patch.setattr(client, "create_logged_model", create_and_lose)
        outcome = deliver(project)
    assert outcome.reason is not None and "the answer is lost" in outcome.reason
    cursor = JournalReader(project.journals / run.journal_id).cursor()
    assert cursor.models == {"1": ""}
    assert deliver(project, persist=True).sent == ["train"]
    arrived = client.get_run(run.run_id)
    models = client.search_logged_models([arrived.info.experiment_id])
    assert [m.model_id for m in models] == [m.model_id for m in arrived.outputs.model_outputs]
    assert len(models) == 1 and models[0].status == "READY"


def random_image(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_model_accepts_arrays_and_paths(
    project: TrackingFolders, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(project.uri))
    weights = tmp_path / "network.safetensors"
    network.save_network(network.DGUNet(network.preset("derain", **TINY)), weights, {})
    (output,) = client.get_run(log(weights, "derain")).outputs.model_outputs
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    colour, grey = random_image(1, 24, 40, 3), random_image(2, 17, 31)
    Image.fromarray(colour).save(tmp_path / "a rainy day.png")
    given = np.empty(4, dtype=object)
    given[:] = [str(tmp_path / "a rainy day.png"), colour, grey, colour / 255]
    from_file, from_array, from_grey, from_floats = loaded.predict(given)
    assert from_file.dtype == np.uint8 and from_file.shape == colour.shape
    np.testing.assert_array_equal(from_file, from_array)
    assert (from_grey.dtype, from_grey.shape) == (np.uint8, grey.shape)
    batch = colour.astype(np.float32).transpose(2, 0, 1)[None] / 255
    expected = loaded.predict(batch)[0].transpose(1, 2, 0)
    np.testing.assert_allclose(from_floats, expected, atol=1e-6)
    assert np.abs(from_array / 255 - expected).max() <= 0.5 / 255 + 1e-6
    with pytest.raises(DataError, match="does not exist"):
        loaded.predict(np.array(["no such.png"], dtype=object))


def test_encoded_images_are_restored_with_their_format(tmp_path: Path) -> None:
    weights = tmp_path / "network.safetensors"
    network.save_network(network.DGUNet(network.preset("derain", **TINY)), weights, {})
    model = RestorationModel(weights)
    deep = np.random.default_rng(3).integers(0, 65536, (20, 28), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(random_image(4, 24, 16, 3)).save(tmp_path / "small.jpg")
    paths = [tmp_path / "deep.png", tmp_path / "small.jpg"]
    given = np.empty(2, dtype=object)
    given[:] = [str(path) for path in paths]
    expected = model.predict(given)
    texts = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    empty = np.zeros((1, 3, 1, 0), np.float32)
    restored = model.predict(empty, {"images": texts})
    for text, pixels in zip(restored, expected, strict=True):
        content = base64.b64decode(text)
        assert content.startswith(b"\x89PNG")
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(np.atleast_3d(np.asarray(image)), pixels)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no text", r"images\[0\] is not base64 text"),
        (base64.b64encode(b"GIF89a").decode(), r"images\[0\] is neither a PNG nor a JPEG"),
        (base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(), r"images\[0\] is (damaged|not)"),
        ("/etc/passwd", r"images\[0\] is n"),
    ],
)
def test_other_texts_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    weights = tmp_path / "network.safetensors"
    network.save_network(network.DGUNet(network.preset("derain", **TINY)), weights, {})
    model = RestorationModel(weights)
    with pytest.raises(DataError, match=expected):
        model.predict(np.zeros((1, 3, 1, 0), np.float32), {"images": [text]})
    with pytest.raises(ConfigError, match="both `inputs` and the parameter `images`"):
        model.predict(np.zeros((1, 3, 8, 8), np.float32), {"images": [text]})


def example_on(page: Path) -> str:
    """The client of a served model that the documentation prints."""
    text = page.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import base64.*?)```", text, re.DOTALL)
    return str(code)


def test_mlflow_serves_the_model_over_http(
    project: TrackingFolders, client: Any, tmp_path: Path
) -> None:
    """``mlflow models serve`` answers a request, and the documentation's example, with images."""
    weights = tmp_path / "network.safetensors"
    net = network.DGUNet(network.preset("derain", **TINY)).eval()
    network.save_network(net, weights, {})
    (output,) = client.get_run(log(weights, "derain")).outputs.model_outputs
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", f"models:/{output.model_id}", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    server = subprocess.Popen(
        command,
        env=os.environ | {"MLFLOW_TRACKING_URI": str(project.uri)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and server.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{address}/ping", timeout=1):
                break
            time.sleep(0.2)
        image = np.random.default_rng(0).random((1, 3, 20, 28), dtype=np.float32)
        status, response = post(f"{address}/invocations", {"inputs": image.tolist()})
        assert status == 200
        restored = np.array(response["predictions"], np.float32)
        with torch.inference_mode():
            expected = net(torch.from_numpy(image))[-1].clamp(0, 1).numpy()
        np.testing.assert_allclose(restored, expected, atol=1e-6)
        example = example_on(ROOT / "docs/mlflow.md")
        (rainy,) = re.findall(r"data/sample/[^\"]+", example)
        (tmp_path / rainy).parent.mkdir(parents=True)
        if (ROOT / rainy).is_file():
            shutil.copyfile(ROOT / rainy, tmp_path / rainy)
        else:  # the sample is not pulled
            Image.fromarray(random_image(5, 48, 64, 3)).save(tmp_path / rainy)
        assert example.count("http://127.0.0.1:5001") == 1
        subprocess.run(
            [sys.executable, "-c", example.replace("http://127.0.0.1:5001", address)],
            cwd=tmp_path,
            check=True,
            timeout=120,
        )
        with Image.open(tmp_path / "restored.png") as image, Image.open(tmp_path / rainy) as before:
            assert (image.format, image.size) == ("PNG", before.size)
            given = np.empty(1, dtype=object)
            given[:] = [str(tmp_path / rainy)]
            (expected_pixels,) = RestorationModel(weights).predict(given)
            np.testing.assert_array_equal(np.asarray(image), expected_pixels)
        bad = {"inputs": [[[[]], [[]], [[]]]], "params": {"images": ["/etc/passwd"]}}
        assert post(f"{address}/invocations", bad)[0] == 400
        secret = tmp_path / "picture.png"
        Image.fromarray(random_image(1, 8, 8, 3)).save(secret)
        status, _ = post(f"{address}/invocations", {"inputs": [str(secret)]})
        assert status == 400, "requests cannot read files of the server"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def post(address: str, content: dict[str, Any]) -> tuple[int, Any]:
    """Return the status and the decoded response of a JSON request."""
    request = urllib.request.Request(
        address, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None
