"""torch.compile, torch.export and ONNX agree with eager mode at dynamic sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from network_tiny import tiny
from typer.testing import CliRunner

from dgunet.cli import command
from dgunet.network import DGUNet, save_network
from dgunet.network import export as exporting
from dgunet.network.export import export_onnx, export_program
from dgunet.system.errors import ConfigError


def exported(network: DGUNet, path: Path) -> Path:
    """``network`` as a file made by `dgunet checkpoint export`."""
    weights = path.with_suffix(".safetensors")
    save_network(network, weights)
    arguments = ["checkpoint", "export", str(weights), "--out", str(path)]
    result = CliRunner().invoke(command(), arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    count = {".onnx": 4, ".pt2": 2}[path.suffix]
    shown = [line.split(":")[0] for line in result.stderr.splitlines() if line.startswith("step")]
    assert shown == [f"step {number} of {count}" for number in range(1, count + 1)]
    return path


RESTORATION = [(1, 3, 9, 11), (2, 3, 40, 56), (1, 3, 33, 130)]
SENSING = [(1, 1, 64, 64), (2, 1, 50, 77), (1, 1, 33, 130)]


@pytest.mark.parametrize("task", ["derain", pytest.param("cs", marks=pytest.mark.slow)])
def test_the_compiled_network_agrees_with_eager(task: str) -> None:
    torch._dynamo.reset()
    network = tiny(task)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    y = torch.rand(1, network.config.channels, 41, 50)
    with torch.no_grad():
        for a, b in zip(compiled(y), network(y), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    torch.stack([o.mean() for o in compiled(y)]).sum().backward()
    compiled_rho = network.first.gradient.rho.grad.clone()
    network.zero_grad()
    torch.stack([o.mean() for o in network(y)]).sum().backward()
    torch.testing.assert_close(compiled_rho, network.first.gradient.rho.grad)


@pytest.mark.slow
def test_inductor_agrees_with_eager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A killed run leaves an incomplete library in the shared cache, which later runs would load.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    network = tiny(
        variant="DGUNet+", stages=2
    )  # every module except the fusion, with half the code
    y = torch.rand(1, 3, 41, 50)
    with torch.no_grad():
        compiled = torch.compile(network)(y)[-1]
        torch.testing.assert_close(compiled, network(y)[-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "variant", "architecture", "stages"),
    [
        ("derain", "DGUNet", "released", 3),
        ("derain", "DGUNet+", "paper", 2),
        ("cs", "DGUNet", "released", 3),
    ],
)
def test_the_exported_program_agrees_with_eager(
    task: str, variant: str, architecture: str, stages: int, tmp_path: Path
) -> None:
    """The program is exported to a file with the command."""
    # A full last stage contains every module of the middle stages.
    network = tiny(task, variant, architecture=architecture, stages=stages)
    program = torch.export.load(exported(network, tmp_path / "n.pt2")).module()
    for shape in SENSING if task == "cs" else RESTORATION:
        y = torch.rand(*shape)
        with torch.no_grad():
            torch.testing.assert_close(program(y), network(y)[-1], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["derain", "cs"])
def test_onnx_agrees_with_eager(task: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the export extra")
    runtime = pytest.importorskip("onnxruntime", reason="needs the export extra")
    network = tiny(task)
    path = exported(network, tmp_path / "n.onnx")
    session = runtime.InferenceSession(path)
    for shape in SENSING if task == "cs" else RESTORATION:
        y = torch.rand(*shape)
        (restored,) = session.run(["restored"], {"image": y.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(restored, network(y)[-1], rtol=0, atol=1e-5)


def test_the_block_domain_cannot_be_exported() -> None:
    with pytest.raises(ConfigError, match="block"):
        export_program(tiny("cs", proximal_domain="block"))


def test_missing_packages_for_onnx_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"onnxscript.*pip install"):
        export_onnx(tiny(), tmp_path / "n.onnx")
