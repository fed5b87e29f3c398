"""The machine of a measurement: hardware, software, and the peak that it reaches itself.

    python -m benchmarks.machine --threads 2

prints what the files of results say about the machine. It names neither host nor folders.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.worker import timed

if TYPE_CHECKING:
    import torch

LIBRARIES = ("numpy", "onnxruntime", "openvino", "ncnn", "opencv-python-headless", "scikit-image")
"""Libraries besides torch whose versions are stated where they are installed."""

WIDTHS = (32, 48, 64, 96, 128, 192, 256)
"""Channels of the 3x3 convolutions that are tried."""


def describe(device: str) -> dict[str, Any]:
    """Hardware and software, without measuring."""
    import psutil
    import torch

    from dgunet.network.devices import processor_name
    from dgunet.system.machine_limits import processors

    gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    software = {"python": platform.python_version(), "torch": torch.__version__}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            software[library] = importlib.metadata.version(library)
    return {
        "device": "cuda" if gpu else "cpu",
        "cpu": processor_name(),
        "kernels": torch.backends.cpu.get_cpu_capability().lower().replace(" ", "-"),
        "cores": processors(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "system": f"{platform.system()} {platform.machine()}",
        "software": software,
    }


def slug(machine: dict[str, Any]) -> str:
    """The part of a file's name that names hardware and software.

    >>> about = {"device": "cpu", "cpu": "Intel(R) Xeon(R) Processor @ 2.60GHz", "cores": 2}
    >>> slug(about | {"kernels": "avx512", "threads": 1, "software": {"torch": "2.13.0+cpu"}})
    'intel-xeon-avx512-2cores-1threads-torch2.13.0'
    """
    torch = machine["software"]["torch"].partition("+")[0]
    if machine["device"] == "cuda":
        return f"{_words(machine['gpu'])}-torch{torch}"
    cpu = _words(re.sub(r"\((?:R|TM)\)|\bCPU\b|\bProcessor\b|@.*", " ", machine["cpu"], flags=re.I))
    counts = f"{machine['cores']}cores-{machine['threads']}threads"
    return f"{cpu}-{machine['kernels']}-{counts}-torch{torch}"


def _words(text: str) -> str:
    return "-".join(re.findall(r"[a-z0-9.]+", text.lower()))


def peak(device: str) -> dict[str, Any]:
    """GFLOP/s that this machine reaches in float32, per CPU second and on the clock.

    A matrix product of 2048 x 2048, and the fastest of 3x3 convolutions of several widths in both
    memory formats on an image of 128 x 128 pixels.
    """
    import torch

    from dgunet.network.kernels import kernels

    with kernels("fastest"):
        return _peak(torch.device("cuda" if device == "cuda" else "cpu"))


def _peak(where: torch.device) -> dict[str, Any]:
    import torch

    side = 2048 if where.type == "cpu" else 8192
    a, b = torch.rand(2, side, side, device=where).unbind()
    product = best(lambda: a @ b, 2 * side**3)
    convolutions: list[dict[str, Any]] = []
    for width in WIDTHS:
        for form in (torch.contiguous_format, torch.channels_last):
            x = torch.rand(1, width, 128, 128, device=where).to(memory_format=form)
            layer = torch.nn.Conv2d(width, width, 3, padding=1, bias=False).to(where)
            layer.to(memory_format=form)
            with torch.inference_mode():
                rates = best(lambda n=layer, x=x: n(x), 18 * width**2 * 128**2)
            convolutions.append(rates | {"width": width})
    key = "per_cpu_second" if where.type == "cpu" else "per_second"
    fastest = max(convolutions, key=lambda one: one[key])
    return {"matrix_product": product, "convolution": fastest | {"precision": "float32"}}


def best(call: Callable[[], object], flops: int, repeats: int = 5) -> dict[str, float]:
    """The highest GFLOP per CPU second and per second of several timings."""
    call()
    times = [timed(call) for _ in range(repeats)]
    fastest = {clock: min(one[clock] for one in times) for clock in ("cpu", "wall")}
    return {
        "per_cpu_second": round(flops / 1e9 / fastest["cpu"], 1),
        "per_second": round(flops / 1e9 / fastest["wall"], 1),
    }


def main() -> None:
    """Print description and peak as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: the default")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args()
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    machine = describe(arguments.device)
    print(json.dumps(machine | {"peak_gflops": peak(machine["device"])}, indent=2))


if __name__ == "__main__":
    main()
