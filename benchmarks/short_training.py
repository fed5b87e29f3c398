"""Keep what a training that is shorter than the paper's reached on real test sets.

    python -m benchmarks.short_training --training DIR --log FILE --params FILE --machine FILE \\
        --code COMMIT --evaluation DIR --other DIR

The file in benchmarks/results has the loss, the validation and every image's PSNR, and none of the
images. With ``--other`` the same weights were scored on a second machine as well, so that the
page can state how far the scores of two machines are apart; a set that it did not score is
"not measured".
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from benchmarks.machine import slug
from dgunet.network import load_network
from dgunet.paper import published
from dgunet.system.files import sha256_file, write_json

RESULTS = Path(__file__).parent / "results"
KEPT = 100
"""Every how many steps the file keeps the loss."""

TABLE = 4
"""The paper's table of compressive sensing."""

Content = dict[str, Any]


def training(folder: Path, log: Path, params: Path) -> Content:
    """What was trained, for how long, and how the loss fell."""
    _, header = load_network(folder / "network.safetensors")
    facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    progress = [line for line in log.read_text(encoding="utf-8").splitlines() if line[:1] == "{"]
    last = json.loads(progress[-1])
    written = yaml.safe_load(params.read_text(encoding="utf-8"))
    settings = written[written["profile"]]["train"]["cs"]
    with (folder / "loss.csv").open(encoding="utf-8") as file:
        losses = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
    with (folder / "validation.csv").open(encoding="utf-8") as file:
        validation = [(int(row["steps"]), float(row["psnr"])) for row in csv.DictReader(file)]
    return {
        "key": header["key"],
        "dataset": header["train.dataset"],
        "data": header["train.data_digest"],
        "switches": header["train.switches"],
        "weights": sha256_file(folder / "network.safetensors"),
        "iterations": facts["iterations"],
        "batch": settings["batch"],
        "selection_step": facts["selection_step"],
        "seconds": round(last["step"] / last["steps_per_s"]),
        "loss": [
            [start, round(statistics.fmean(loss for _, loss in losses[start : start + KEPT]), 6)]
            for start in range(0, len(losses), KEPT)
        ],
        "validation": validation,
    }


def scores(evaluation: Path, other: Path | None) -> list[Content]:
    """Mean and every image's PSNR of each evaluated set, with the other machine's beside it."""
    found = []
    for path in sorted(evaluation.rglob("summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        places = [path.parent, *([other / path.parent.relative_to(evaluation)] if other else [])]
        per_machine = [_psnr(place) for place in places if place.exists()]
        names = ("dataset", "variant", "ratio", "images", "published_images", "data_digest")
        names += ("checkpoint_sha256", "protocol", "protocol_version", "psnr", "ssim", "input_psnr")
        images = [[name, *(one[name] for one in per_machine)] for name in per_machine[0]]
        found.append({name: summary[name] for name in names} | {"per_image": images})
    return found


def _psnr(folder: Path) -> dict[str, float]:
    rows = pq.read_table(folder / "per_image.parquet", columns=["id", "psnr"])
    return dict(zip(rows["id"].to_pylist(), rows["psnr"].to_pylist(), strict=True))


def about(content: Content) -> str:
    """The sentence of the page about the training."""
    found = content["training"]
    (step, psnr) = max(found["validation"], key=lambda one: one[1])
    images = found["iterations"] * found["batch"]
    return (
        f"`{found['key']}`, {found['iterations']:,} steps of {found['batch']} blocks of"
        f" {found['dataset']} ({images:,} blocks) in {found['seconds']} s with"
        f" {found['switches']}, compilation included. The mean loss of the first {KEPT} steps was"
        f" {found['loss'][0][1]:.4f}, of the last {found['loss'][-1][1]:.4f}; the best validation"
        f" on held-out photographs was {psnr:.2f} dB after step {step:,}, and the weights are those"
        f" of that step. Weights: `{found['weights'][:12]}`; commit of the code:"
        f" `{content['code'][:12]}`."
    )


def lines(content: Content) -> list[list[str]]:
    """The lines of a table, the first its head."""
    head = ["Case", "Images", "PSNR", "SSIM", "Input PSNR", "Paper's PSNR", "Still missing"]
    return [*[[*head, "Largest difference to the CPU"]], *(_line(one) for one in content["scores"])]


def _line(score: Content) -> list[str]:
    cell = published.table(TABLE).cell(f"{score['dataset']} {score['ratio']}%", score["variant"])
    apart = [abs(one[1] - one[2]) for one in score["per_image"] if len(one) > 2]
    return [
        f"cs {score['ratio']} % {score['variant']}, {score['dataset']}",
        f"{score['images']} of {score['published_images']}",
        *(f"{score['psnr']:.4f} dB", f"{score['ssim']:.4f}", f"{score['input_psnr']:.2f} dB"),
        f"{cell.printed} dB",
        f"{(cell.value or 0) - score['psnr']:.2f} dB",
        f"{max(apart):.1g} dB" if apart else "not measured",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file of the measurement that the arguments name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folders = {"training": "result of `dgunet train`", "evaluation": "result of `dgunet evaluate`"}
    for name, text in folders.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--log", type=Path, required=True, help="what the training printed")
    parser.add_argument("--params", type=Path, required=True, help="its parameter file")
    parser.add_argument(
        "--machine", type=Path, required=True, help="a file of results of the same machine"
    )
    parser.add_argument("--code", required=True, help="commit of the code that trained")
    parser.add_argument("--other", type=Path, help="the evaluation on another machine")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args(arguments)
    machine = json.loads(given.machine.read_text(encoding="utf-8"))["machine"]
    content = {
        "benchmark": "short-training",
        "machine": machine,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "code": given.code,
        "training": training(given.training, given.log, given.params),
        "scores": scores(given.evaluation, given.other),
    }
    path = given.out / f"short-training-{slug(machine)}.json"
    write_json(path, content)
    print(f"written to {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
