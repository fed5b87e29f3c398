"""The evaluation commands on the command line."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
import typer
from evaluation_stand_ins import pair
from PIL import Image
from tqdm import tqdm
from typer.testing import CliRunner

from dgunet.cli import evaluation_commands
from dgunet.cli.progress_bar import _PARTS, PartsBar
from dgunet.evaluation.protocols import PROTOCOLS, protocol
from dgunet.network import DGUNet, preset, save_network
from dgunet.system.errors import ConfigError, DataError
from dgunet.system.seals import write_seal


@pytest.fixture
def dgunet():
    """Run a command; gives its output and raises its error."""
    app = typer.Typer()
    evaluation_commands.register(app)

    def call(*arguments, code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, Exception):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return call


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    save_network(DGUNet(preset("derain", n_feat=8, scale=4, stages=3)), path)
    return path


def test_restore_writes_one_output_for_each_image_of_a_folder(dgunet, weights, tmp_path):
    for name, size in (("a.png", (20, 31)), ("b.jpg", (33, 24))):
        Image.fromarray(pair(0, *size)[0]).save(tmp_path / name)
    out = tmp_path / "out"
    output = dgunet("restore", tmp_path, "--checkpoint", weights, "--out", out)
    assert output.count("->") == 2
    assert np.asarray(Image.open(out / "a.png")).shape == (20, 31, 3)
    assert np.asarray(Image.open(out / "b.jpg")).shape == (33, 24, 3)
    with pytest.raises(DataError, match="--force"):
        dgunet("restore", tmp_path / "a.png", "--checkpoint", weights, "--out", out)
    dgunet("restore", tmp_path / "a.png", "--checkpoint", weights, "--out", out, "--force")
    (out / "b.jpg").unlink()
    before = (out / "a.png").stat().st_mtime_ns
    output = dgunet("restore", tmp_path, "--checkpoint", weights, "--out", out, "--skip-existing")
    assert "1 of 2 images exist already" in output
    assert ((out / "a.png").stat().st_mtime_ns, (out / "b.jpg").exists()) == (before, True)


def test_restore_keeps_the_subfolders_and_can_write_into_its_own_input(dgunet, weights, tmp_path):
    for name in ("a.png", "b/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pair(0, 20, 31)[0]).save(tmp_path / name)
    out = tmp_path / "out"
    for _ in range(2):  # the results of the first run are no input of the second
        output = dgunet("restore", tmp_path, "--checkpoint", weights, "--out", out, "--force")
        assert output.count("->") == 2
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == ["a.png", "b/a.png"]


def test_the_bar_moves_within_a_piece_and_lines_do_not_disturb_it(monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with tqdm(total=2, bar_format=_PARTS, mininterval=0, miniters=0) as shown:
        bar = PartsBar(shown)
        for name in ("a.png", "b.png"):
            bar.begin(name)
            bar.done(0.5)
            bar.say(f"{name} is half done")
        bar.done(1.0)
    drawn = terminal.getvalue().split("\r")
    assert any(line.startswith("a.png (1 of 2):  25%|") for line in drawn)
    assert any(line.startswith("b.png (2 of 2):  75%|") for line in drawn)
    assert drawn[-1].startswith("b.png (2 of 2): 100%|") and "<00:00" in drawn[-1]
    assert capsys.readouterr().out == "a.png is half done\nb.png is half done\n"


def test_restore_continues_after_a_broken_image_and_fails_at_the_end(dgunet, weights, tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    Image.fromarray(pair(0)[0]).save(tmp_path / "b.png")
    out = tmp_path / "out"
    output = dgunet("restore", tmp_path, "--checkpoint", weights, "--out", out, code=1)
    assert "1 of 2 images were not restored" in output
    assert [path.name for path in out.iterdir()] == ["b.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no weights"),
        (("--task", "cs"), "--ratio goes with"),
        (("--task", "derain", "--ratio", "10"), "--ratio goes with"),
    ],
)
def test_restore_without_clear_weights_is_refused(dgunet, tmp_path, arguments, message):
    Image.fromarray(pair(0)[0]).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=message):
        dgunet("restore", tmp_path / "a.png", "--out", tmp_path / "out", *arguments)


def test_score_prints_each_image_and_the_mean_and_writes_the_table(dgunet, tmp_path):
    for seed in range(2):
        for folder, image in zip(("x", "y"), pair(seed), strict=True):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{seed}.png")
    table = tmp_path / "t.csv"
    output = dgunet(
        "score", tmp_path / "x", tmp_path / "y", "--protocol", "rain-y", "--out", table
    ).splitlines()
    scores = [protocol("rain-y").score(*pair(seed)).psnr for seed in range(2)]
    assert output[0].startswith(f"0: {scores[0]:.4f} dB")
    assert output[-1].startswith(f"mean of 2 images under rain-y/1: {np.mean(scores):.4f} dB")
    assert len(table.read_text().splitlines()) == 3
    with pytest.raises(ConfigError, match="csv"):
        dgunet("score", tmp_path / "x", tmp_path / "y", "--protocol", "rain-y", "--out", "t.txt")
    with pytest.raises(ConfigError, match="unknown protocol"):
        dgunet("score", tmp_path / "x", tmp_path / "y", "--protocol", "psnr")


def test_protocols_are_printed_as_text_and_as_json(dgunet):
    text = dgunet("protocols")
    assert all(f"{name} (version" in text for name in PROTOCOLS)
    (facts,) = json.loads(dgunet("protocols", "cs-y", "--json"))
    assert facts == protocol("cs-y").describe()


def test_the_protocols_page_is_current(dgunet, project):
    document = (project / "docs" / "protocols.md").read_text()
    assert dgunet("protocols", "--markdown").strip() in document


def test_the_self_test_command_passes_and_reports_failures(dgunet, monkeypatch):
    assert "all 18 values agree" in dgunet("selftest", "metrics")
    monkeypatch.setattr("dgunet.evaluation.selftest.TOLERANCE", -1.0)
    output = dgunet("selftest", "metrics", code=1)
    assert "FAILED" in output


def test_dnd_is_bundled_and_its_score_recorded(dgunet, evaluated, tmp_path):
    folder = tmp_path / "DND"
    shutil.copytree(evaluated[0], folder)
    (folder / "summary.json").write_text(json.dumps(evaluated[1]))
    write_seal(folder)
    output = dgunet("dnd", "bundle", folder, "--out", tmp_path / "up.zip")
    assert "50 files" in output
    (tmp_path / "mail.txt").write_text("40.00 dB")
    arguments = ("--psnr", 40.0, "--ssim", 0.96, "--evidence", tmp_path / "mail.txt")
    dgunet("dnd", "record", folder, *arguments, "--out", tmp_path / "dnd.json")
    assert json.loads((tmp_path / "dnd.json").read_text())["ssim"] == 0.96
    with pytest.raises(DataError, match=r"summary\.json"):
        dgunet("dnd", "record", tmp_path, *arguments)


@pytest.mark.parametrize("backend", ["openvino", "auto"])
def test_restore_on_another_backend_gives_the_same_image(
    dgunet, weights, tmp_path, monkeypatch, backend
):
    monkeypatch.setenv("DGUNET_CACHE", str(tmp_path / "cache"))
    Image.fromarray(pair(0, 40, 33)[0]).save(tmp_path / "a.png")
    restored = []
    for name in ("eager", backend):
        output = dgunet(
            *("restore", tmp_path / "a.png", "--checkpoint", weights),
            *("--out", tmp_path / name, "--backend", name),
        )
        restored.append(np.asarray(Image.open(tmp_path / name / "a.png")).astype(int))
    assert np.abs(restored[0] - restored[1]).max() <= 1
    assert (backend == "auto") == ("backend" in output)


def test_restore_refuses_an_unknown_backend(dgunet, weights, tmp_path):
    Image.fromarray(pair(0, 40, 33)[0]).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="backend 'tensorrt' is unknown"):
        dgunet(
            *("restore", tmp_path / "a.png", "--checkpoint", weights),
            *("--out", tmp_path / "out", "--backend", "tensorrt"),
        )
