"""torch.compile, torch.export and ONNX agree with eager, at sizes left open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from network_tiny import tiny

from dgunet.errors import ConfigError
from dgunet.network.export import export_onnx, export_program

RESTORATION = [(1, 3, 9, 11), (2, 3, 40, 56), (1, 3, 33, 130)]
SENSING = [(1, 1, 64, 64), (2, 1, 50, 77), (1, 1, 33, 130)]


@pytest.mark.parametrize("task", ["derain", pytest.param("cs", marks=pytest.mark.slow)])
def test_compiled_network_agrees(task: str) -> None:
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
def test_inductor_agrees() -> None:
    torch._dynamo.reset()
    network = tiny()
    y = torch.rand(1, 3, 41, 50)
    with torch.no_grad():
        compiled = torch.compile(network)(y)[-1]
        torch.testing.assert_close(compiled, network(y)[-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "variant", "architecture"),
    [
        ("derain", "DGUNet", "released"),
        ("derain", "DGUNet+", "paper"),
        ("cs", "DGUNet", "released"),
    ],
)
def test_exported_program_agrees(task: str, variant: str, architecture: str) -> None:
    network = tiny(task, variant, architecture=architecture)
    program = export_program(network).module()
    for shape in SENSING if task == "cs" else RESTORATION:
        y = torch.rand(*shape)
        with torch.no_grad():
            torch.testing.assert_close(program(y), network(y)[-1], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["derain", "cs"])
def test_onnx_agrees(task: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the export extra")
    runtime = pytest.importorskip("onnxruntime", reason="needs the export extra")
    network = tiny(task)
    path = tmp_path / "network.onnx"
    export_onnx(network, path)
    session = runtime.InferenceSession(path)
    for shape in SENSING if task == "cs" else RESTORATION:
        y = torch.rand(*shape)
        (restored,) = session.run(["restored"], {"image": y.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(restored, network(y)[-1], rtol=0, atol=1e-5)
    assert not any(getattr(m, "unrolled", False) for m in network.modules())


def test_blocks_alone_are_refused() -> None:
    with pytest.raises(ConfigError, match="block"):
        export_program(tiny("cs", proximal_domain="block"))
