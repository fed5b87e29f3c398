"""Compare predicted with measured time and memory of evaluating real images; prints JSON.

Example: DGUNET_BENCHMARKS=/data python benchmarks/cost_accuracy.py > cost_accuracy.json

Each case is a process of its own: a probe of this machine, then the first images of a real test set
under its protocol, restored and scored by `dgunet.evaluation.runner`. The prediction uses only the
sizes of the images and the probe. The weights are untrained, which changes no time. Ratios are
predicted / measured. Time on the clock depends on the other work of a shared machine, which may
begin or end between the probe and the evaluation; CPU time does not. The CPU time is predicted as
the time on the clock, times the CPU seconds that the probe received in each second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from dgunet.costs.evaluation_cost import evaluation_cost
from dgunet.costs.image_sizes import image_sizes
from dgunet.costs.probe import probe_machine
from dgunet.data.catalogue.entries import dataset
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.runner import score_shard
from dgunet.network import DGUNet, preset

CASES = {
    "Rain100L": ("derain", "DGUNet", None, ("input/{}.png", "target/{}.png"), range(1, 7)),
    "Rain100L DGUNet+": ("derain", "DGUNet+", None, ("input/{}.png", "target/{}.png"), range(1, 4)),
    "Set11": ("cs", "DGUNet", 10, ("{}",), ("Monarch.tif", "boats.tif", "fingerprint.tif")),
    "BSD68": ("cs", "DGUNet+", 10, ("test{:03d}.png",), range(1, 7)),
}
"""Task, variant, ratio, files of one image, and the images."""


def measure(case: str, root: Path, seconds: float) -> dict[str, Any]:
    """Return the prediction and the measurement of one case."""
    task, variant, ratio, files, images = CASES[case]
    name = case.split()[0]
    config = preset(task, variant, ratio=ratio)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for path in (root / name / form.format(image) for image in images for form in files):
            link = work / "root" / path.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
        prepare_dataset(name, work / "root", work / "store", profile="paper")
        wall, used = time.perf_counter(), time.process_time()
        machine = probe_machine(seconds, config=config, device="cpu")
        given = (time.process_time() - used) / (time.perf_counter() - wall)
        cost = evaluation_cost(name, config, sizes=image_sizes(name, work / "store"))
        predicted, expected = cost.seconds(machine), cost.memory
        before = psutil.Process().memory_info().rss  # the weights are part of the prediction
        network = DGUNet(config).eval()
        wall, used = time.perf_counter(), time.process_time()
        rules, store = protocol(dataset(name).protocol), PairStore.open(work / "store")
        score_shard(network, store, rules, work / "rows", Settings(variant, variant, ratio))
        wall, used = time.perf_counter() - wall, time.process_time() - used
    return {
        "case": case,
        "images": len(images),
        "passes": cost.passes,
        "tera_operations": round(cost.operations / 1e12, 3),
        "probe": machine.assumption,
        "predicted_seconds": round(predicted, 2),
        "measured_seconds": round(wall, 2),
        "predicted_cpu_seconds": round(predicted * given, 2),
        "measured_cpu_seconds": round(used, 2),
        "ratio_of_seconds": round(predicted / wall, 3),
        "ratio_of_cpu_seconds": round(predicted * given / used, 3),
        "load_after": round(os.getloadavg()[0], 1),
        "predicted_memory": expected,
        "measured_memory": (resident := peak() - before),
        "ratio_of_memory": round(expected / resident, 3),
    }


def peak() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure one case, or every case in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each probe")
    parser.add_argument("--only", choices=CASES, help="measure one case in this process")
    arguments = parser.parse_args()
    if not (folder := os.environ.get("DGUNET_BENCHMARKS")):
        parser.error("DGUNET_BENCHMARKS does not name the folder of the real images")
    if arguments.only:
        print(json.dumps(measure(arguments.only, Path(folder), arguments.seconds)))
        return
    results = []
    for case in CASES:
        line = [sys.executable, __file__, "--seconds", str(arguments.seconds), "--only", case]
        done = subprocess.run(line, stdout=subprocess.PIPE, encoding="utf-8", check=True)
        results.append(json.loads(done.stdout))
        print(done.stdout, end="", file=sys.stderr)
    machine = f"{os.cpu_count()} CPU cores ({platform.machine()}), other work beside it"
    threads = torch.get_num_threads()
    print(
        json.dumps(
            {
                "device": "CPU",
                "measured_on": machine,
                "torch": torch.__version__,
                "threads": threads,
                "results": results,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
