"""Score trained weights on prepared test sets in lower precision, image by image.

    python -m benchmarks.precision WEIGHTS STORE [STORE ...] --device cuda

The reference is float32 without TF32, in which cells of the paper's tables are made. The rows go
into benchmarks/results, from which the page of docs is generated.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import describe, slug
from benchmarks.rows import Row
from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.image_steps import ImageSteps, Settings
from dgunet.evaluation.protocols import protocol
from dgunet.network import DGUNet, load_network
from dgunet.network.kernels import kernels, tf32
from dgunet.system.files import sha256_file, write_json
from dgunet.system.package_digest import code_version

RESULTS = Path(__file__).parent / "results"
REFERENCE = "float32"
WAYS = (REFERENCE, "TF32", "bfloat16")
"""TF32 is torch's default for convolutions on a GPU; bfloat16 is that of autocast."""


class InPrecision(nn.Module):
    """A network whose convolutions compute in the precision ``way``."""

    def __init__(self, network: DGUNet, way: str) -> None:
        super().__init__()
        self.network, self.way = network, way

    def forward(self, y: Tensor) -> list[Tensor]:
        """Map y (B, C, H, W) to the images of the stages."""
        half = torch.autocast(y.device.type, torch.bfloat16, enabled=self.way == "bfloat16")
        with tf32(on=True) if self.way == "TF32" else contextlib.nullcontext(), half:
            images: list[Tensor] = self.network(y)
        return images


def psnrs(network: DGUNet, pairs: PairStore, way: str) -> tuple[list[float], float]:
    """PSNR in dB of every image under the set's protocol, and the seconds of restoring all."""
    rules, seconds = protocol(pairs.manifest.protocol), 0.0
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(row=network.config.variant)
        steps = ImageSteps(InPrecision(network, way), pairs, rules, Path(folder), settings)
        for index in range(len(pairs)):
            read = steps.read(index)
            begin = time.perf_counter()
            result = steps.restore(read)
            seconds += time.perf_counter() - begin
            _, row, _ = steps.score(read, result)
            assert row.psnr is not None
            found.append(row.psnr)
    return found, seconds


def compared(network: DGUNet, weights: Path, pairs: PairStore) -> Iterator[Row]:
    """Yield a row for every other precision, with the reference beside it."""
    manifest, config = pairs.manifest, network.config
    with kernels("fastest"):
        psnrs(network, pairs, REFERENCE)  # the first pass chooses kernels
        reference, duration = psnrs(network, pairs, REFERENCE)
        for way in WAYS[1:]:
            found, seconds = psnrs(network, pairs, way)
            label = f"{config.task} {config.ratio} %" if config.ratio else config.task
            yield {
                "case": f"{label} {config.variant}, {manifest.dataset}",
                "baseline": REFERENCE,
                "candidate": way,
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "code": code_version(),
                "weights": sha256_file(weights),
                "data": manifest.digest,
                "protocol": manifest.protocol,
                "seconds": [round(duration, 3), round(seconds, 3)],
                "psnr": [list(pair) for pair in zip(reference, found, strict=True)],
            }


def lines(rows: Sequence[Row]) -> list[list[str]]:
    """The lines of a table, the first its head."""
    head = ["Case", "Candidate", "Images", "Mean PSNR in float32", "Candidate's", "Mean difference"]
    head += ["Largest difference of an image"]
    return [head, *(_line(row) for row in rows)]


def _line(row: Row) -> list[str]:
    pairs = row["psnr"]
    reference, found = (statistics.fmean(side) for side in zip(*pairs, strict=True))
    largest = max((b - a for a, b in pairs), key=abs)
    return [
        *(row["case"], row["candidate"], str(len(pairs))),
        *(f"{reference:.4f} dB", f"{found:.4f} dB"),
        *(f"{found - reference:+.5f} dB", f"{largest:+.5f} dB"),
    ]


def write(rows: Sequence[Row], machine: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write the rows to the file of this kind of machine; earlier ones of other cases stay."""
    path = folder / f"precision-{slug(machine)}.json"
    earlier: list[Row] = []
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))["rows"]
    kept = {(row["case"], row["candidate"]): row for row in [*earlier, *rows]}
    write_json(path, {"benchmark": "precision", "machine": machine, "rows": list(kept.values())})
    return path


def main() -> int:
    """Score what the arguments name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="a network of `dgunet train`")
    parser.add_argument("stores", type=Path, nargs="+", help="prepared test sets of its task")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    machine = describe(arguments.device)
    network, _ = load_network(arguments.weights)
    network = network.eval().to(machine["device"])
    for store in arguments.stores:
        rows = list(compared(network, arguments.weights, PairStore.open(store)))
        path = write(rows, machine, arguments.out)
        for line in lines(rows)[1:]:
            print("; ".join(line))
    print(f"written to {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
