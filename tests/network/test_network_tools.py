"""Operation counts, introspection, the generated page and the network commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from network_tiny import tiny
from PIL import Image
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.network import load_network, preset, save_network
from dgunet.network.describe import describe_network
from dgunet.network.introspect import inspect_network, stage_strip, to_uint8
from dgunet.network.network_page import network_page
from dgunet.network.official import export_official
from dgunet.system.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DgunetError,
    EvaluationError,
)

# FlopCounterMode on the released code, 1 x 3 x 256 x 256: convolutions only (total minus products).
RELEASED_CONVOLUTIONS = {
    ("derain", "DGUNet"): 387_959_172_032 - 1_174_405_120,
    ("derain", "DGUNet+"): 388_137_429_952 - 1_409_286_144,
    ("deblur", "DGUNet"): 1_686_349_328_128 - 2_013_265_920,
    ("deblur", "DGUNet+"): 2_165_623_028_736 - 2_818_572_288,
    ("denoise", "DGUNet+"): 1_509_730_070_272 - 2_415_919_104,
}


@pytest.mark.parametrize(("task", "variant"), RELEASED_CONVOLUTIONS)
def test_convolution_operations_agree_with_the_released_code(task: str, variant: str) -> None:
    counted = describe_network(preset(task, variant))
    assert counted.convolution_flops == RELEASED_CONVOLUTIONS[task, variant]


def test_operation_counts_agree_with_a_calculation_by_hand() -> None:
    """Convolutions scale with the area, except those of the channel attention at 1 x 1 pixels."""
    config = preset("derain", n_feat=8, scale=4)
    small, large = describe_network(config, (64, 64)), describe_network(config, (64, 128))
    attention = 2 * 2 * 8 * 2 * config.stages
    assert large.convolution_flops == 2 * small.convolution_flops - attention
    # S S^T, S b^T and the product with S, for 16 vectors and 8 channels in five stages.
    assert small.matrix_flops == 5 * 2 * 64 * 64 * (16 * 16 + 2 * 16 * 8)


def test_the_network_page_is_current(project: Path) -> None:
    assert (project / "docs/network.md").read_text() == network_page()


def test_introspection_reports_every_stage() -> None:
    network = tiny()
    y = torch.rand(1, 3, 19, 24)
    reports = inspect_network(network, y)
    with torch.no_grad():
        outputs = network(y)
    assert [r.stage for r in reports] == [1, 2, 3]
    assert all(torch.equal(r.x, o) for r, o in zip(reports, outputs, strict=True))
    rhos = [network.first.gradient, network.middle[0].gradient, network.last.gradient]
    assert [r.step_size for r in reports] == [g.rho.item() for g in rhos]
    padded = network._pad(y)
    with torch.no_grad():
        residual = network.first.gradient.f_a(padded) - padded
    assert reports[0].data_residual == pytest.approx(residual.square().mean().sqrt().item())
    assert all(r.adjointness_gap > 1e-3 for r in reports)


def test_known_operators_have_no_adjointness_gap() -> None:
    reports = inspect_network(tiny("cs").double(), torch.rand(1, 1, 32, 64).double())
    assert all(r.adjointness_gap < 1e-12 for r in reports)
    assert reports[0].data_residual > 0


def test_a_learned_pair_that_is_adjoint_has_no_gap() -> None:
    """Both blocks are reduced to the identity, which is self-adjoint."""
    network = tiny()
    for block in (network.first.gradient.f_a, network.first.gradient.f_at):
        torch.nn.init.zeros_(block.reduce.weight)
    gaps = [r.adjointness_gap for r in inspect_network(network, torch.rand(1, 3, 16, 16))]
    assert gaps[0] < 1e-6 < gaps[1]


def test_without_gradient_steps_no_numbers_are_reported() -> None:
    reports = inspect_network(tiny(gradient=False), torch.rand(1, 3, 16, 16))
    assert all(
        r.step_size is None and r.data_residual is None and r.adjointness_gap is None
        for r in reports
    )


def test_the_strip_shows_every_stage_in_its_place() -> None:
    y = torch.rand(1, 3, 16, 24)
    reports = inspect_network(tiny(), y)
    strip = stage_strip(reports, y)
    assert strip.size == (4 * 24, 2 * (16 + 14))
    last = strip.crop((3 * 24, 14 + 16 + 14, 4 * 24, 2 * (16 + 14)))
    assert last.tobytes() == to_uint8(reports[-1].x).tobytes()


def test_large_images_are_downscaled_in_the_strip() -> None:
    y = torch.rand(1, 3, 40, 80)
    strip = stage_strip(inspect_network(tiny(), y), y, longest=20)
    assert strip.size == (4 * 20, 2 * (10 + 14))


def run(*arguments: object) -> str:
    result = CliRunner().invoke(command(), [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_errata_and_describe_commands() -> None:
    assert "field:    downsample" in run("errata")
    assert run("errata", "--markdown").startswith("# Errata")
    table = run("describe", "derain", "--height", "64", "--width", "64")
    assert "| derain | DGUNet | 3,661,912 | 28,800 |" in table


def test_the_checkpoint_commands(tmp_path: Path) -> None:
    torch.manual_seed(0)
    from dgunet.network import DGUNet

    network = DGUNet(preset("cs", ratio=1))
    export_official(network, tmp_path / "net_best.pkl")
    ours, back = tmp_path / "cs.safetensors", tmp_path / "back.pkl"
    output = run("checkpoint", "import", tmp_path / "net_best.pkl", "--out", ours)
    assert "cs 1 % DGUNet" in output and "origin_sha256" in output
    run("checkpoint", "export", ours, "--out", back)
    assert back.read_bytes() == (tmp_path / "net_best.pkl").read_bytes()
    info = run("checkpoint", "info", ours)
    assert "ratio: 1" in info and "origin: net_best.pkl" in info and "2,295,868" in info
    assert load_network(ours)[0].config == preset("cs", ratio=1)
    with pytest.raises(CheckpointError, match="does not exist"):
        run("checkpoint", "import", tmp_path / "none.pth", "--out", ours)
    run("checkpoint", "import", tmp_path / "net_best.pkl")
    assert (tmp_path / "net_best.safetensors").read_bytes() == ours.read_bytes()
    with pytest.raises(ConfigError, match=r"net_best\.safetensors already exists"):
        run("checkpoint", "import", tmp_path / "net_best.pkl")


def test_the_export_command_refuses_unknown_suffixes(tmp_path: Path) -> None:
    save_network(tiny(), tmp_path / "n.safetensors")
    with pytest.raises(
        ConfigError, match=r"unknown suffix. Use one of \.pth, \.pkl, \.onnx, \.pt2"
    ):
        run("checkpoint", "export", tmp_path / "n.safetensors", "--out", tmp_path / "n.bin")
    assert not (tmp_path / "n.bin").exists()


def test_reconstruct_from_measurements_equals_the_network_output(tmp_path: Path) -> None:
    """`measure`, then `reconstruct`, gives the output of the network for the image."""
    network = tiny("cs")
    weights, y = tmp_path / "cs.safetensors", tmp_path / "y.npy"
    save_network(network, weights)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    output = run("measure", tmp_path / "grey.png", "--checkpoint", weights, "--out", y)
    assert "103 measurements per block, 2 x 2 blocks" in output
    assert np.load(y).shape == (103, 2, 2) and np.load(y).dtype == np.float32
    (tmp_path / "grey.png").unlink()
    arguments = ("reconstruct", y, "--checkpoint", weights, "--out", tmp_path / "x.png")
    run(*arguments, "--height", 40, "--width", 50)
    with torch.no_grad():
        x = network(torch.from_numpy(pixels / np.float32(255))[None, None])[-1]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png")), to_uint8(x))
    run(*arguments)
    assert Image.open(tmp_path / "x.png").size == (64, 64)
    with pytest.raises(ConfigError, match=r"size 70 x 64, but .* covers 64 x 64"):
        run(*arguments, "--height", 70)
    assert "adjointness" in run("inspect", y, *arguments[2:4], "--out", tmp_path / "inspected")
    assert Image.open(tmp_path / "inspected/stages.png").size == (4 * 64, 2 * (64 + 14))


def test_places_that_cannot_be_written_are_named_before_any_work(tmp_path: Path) -> None:
    sensing = tmp_path / "cs.safetensors"
    save_network(tiny("cs"), sensing)
    y, folder, file = tmp_path / "y.npy", tmp_path / "folder", tmp_path / "file"
    np.save(y, np.zeros((103, 1, 1), np.float32))
    Image.new("L", (8, 8)).save(tmp_path / "grey.png")
    folder.mkdir()
    file.write_text("mine")
    for arguments, out, message in [
        (("measure", tmp_path / "grey.png"), folder, r"is a folder\. Choose a file\."),
        (("measure", tmp_path / "grey.png"), file / "y.npy", "is not a folder"),
        (("reconstruct", y), tmp_path / "r", "not a format that can be written"),
        (("reconstruct", y), tmp_path / "r.txt", r"r\.txt: \.txt is not a format"),
        (("reconstruct", y), folder, "is a folder"),
        (("inspect", y), file, "is not a folder"),
        (("inspect", y), file / "below", "is not a folder"),
    ]:
        with pytest.raises(DgunetError, match=message):
            run(*arguments, "--checkpoint", sensing, "--out", out)
    assert file.read_text() == "mine" and not list(folder.iterdir())
    assert not (tmp_path / "r").exists()


def test_wrong_measurements_are_named(tmp_path: Path) -> None:
    sensing, other = tmp_path / "cs.safetensors", tmp_path / "derain.safetensors"
    save_network(tiny("cs"), sensing)
    save_network(tiny(), other)
    y, out = tmp_path / "y.npy", tmp_path / "x.png"
    Image.new("L", (8, 8)).save(tmp_path / "grey.png")
    for array, message in [
        (np.zeros((102, 1, 1)), r"shape \(102, 1, 1\)"),
        (np.zeros((103, 1)), r"shape \(103, 1\)"),
        (np.full((103, 1, 1), np.nan), "not finite"),
        (np.zeros((103, 1, 1), complex), "not finite real"),
        (np.array([{}]), "is not a NumPy array"),
    ]:
        np.save(y, array)
        with pytest.raises(DataError, match=message):
            run("reconstruct", y, "--checkpoint", sensing, "--out", out)
    with pytest.raises(DataError, match="is not a NumPy array"):
        run("reconstruct", tmp_path / "grey.png", "--checkpoint", sensing, "--out", out)
    with pytest.raises(DataError, match="does not exist"):
        run("reconstruct", tmp_path / "none.npy", "--checkpoint", sensing, "--out", out)
    with pytest.raises(ConfigError, match="a network for derain, without a sampling matrix"):
        run("measure", tmp_path / "grey.png", "--checkpoint", other, "--out", y)
    with pytest.raises(DataError, match="no sampling matrix"):
        run("inspect", y, "--checkpoint", other, "--out", tmp_path / "out")
    assert not out.exists()


@pytest.mark.parametrize(("task", "mode"), [("derain", "L"), ("derain", "RGBA"), ("cs", "RGB")])
def test_inspect_accepts_any_colour_mode(task: str, mode: str, tmp_path: Path) -> None:
    save_network(tiny(task), tmp_path / "n.safetensors")
    Image.new(mode, (20, 17)).save(tmp_path / "image.png")
    arguments = ("inspect", tmp_path / "image.png", "--checkpoint", tmp_path / "n.safetensors")
    run(*arguments, "--out", tmp_path / "out")
    assert Image.open(tmp_path / "out/stages.png").size == (4 * 20, 2 * (17 + 14))


def test_non_finite_output_is_reported_with_its_stage(tmp_path: Path) -> None:
    network = tiny()
    torch.nn.init.constant_(network.middle[0].sam.image.weight, float("nan"))
    save_network(network, tmp_path / "n.safetensors")
    Image.new("RGB", (16, 16)).save(tmp_path / "rain.png")
    with pytest.raises(EvaluationError, match=r"n\.safetensors: stage 2 gives NaN"):
        run(
            "inspect",
            tmp_path / "rain.png",
            "--checkpoint",
            tmp_path / "n.safetensors",
            "--out",
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_the_inspect_command(tmp_path: Path) -> None:
    save_network(tiny(), tmp_path / "n.safetensors")
    Image.new("RGB", (20, 17), (90, 120, 30)).save(tmp_path / "rain.png")
    arguments = ("inspect", tmp_path / "rain.png", "--checkpoint", tmp_path / "n.safetensors")
    output = run(*arguments, "--out", tmp_path / "out")
    assert "adjointness gap" in output
    numbers = json.loads((tmp_path / "out/stages.json").read_text())
    assert [s["stage"] for s in numbers["stages"]] == [1, 2, 3]
    first = (tmp_path / "out/stages.png").read_bytes()
    run(*arguments, "--out", tmp_path / "again")
    assert (tmp_path / "again/stages.png").read_bytes() == first
    with pytest.raises(DataError, match="not a readable image"):
        run("inspect", tmp_path / "n.safetensors", *arguments[2:], "--out", tmp_path / "out")


@pytest.mark.slow
def test_inspect_logs_to_mlflow_with_the_stage_as_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    network = tiny()
    save_network(network, tmp_path / "n.safetensors")
    Image.new("RGB", (16, 16), (90, 120, 30)).save(tmp_path / "rain.png")
    arguments = ("inspect", "rain.png", "--checkpoint", "n.safetensors", "--out", "out")
    monkeypatch.setenv("DGUNET_HOME", str(tmp_path))
    run(*arguments, "--mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dgunet/inspect")
    (logged,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(logged.info.run_id, "step_size")
    assert [m.step for m in history] == [1, 2, 3]
    assert history[0].value == pytest.approx(network.first.gradient.rho.item())
    assert {"stages.png", "stages.json"} <= {
        a.path for a in client.list_artifacts(logged.info.run_id)
    }
