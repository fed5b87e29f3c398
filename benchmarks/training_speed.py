"""Time training steps and their peak memory, each way of making them in a process of its own.

Examples:
    python benchmarks/training_speed.py --task derain --patch 64 --batch 2      # one CPU or GPU
    torchrun --nproc-per-node 8 benchmarks/training_speed.py --only plain --batch 16 --patch 256

The steps are those of `dgunet.training.train` on noise, without validation or checkpoints; the
first are left out. On a busy machine trust the ratios to the plain float32 step, not the rates.
Under torchrun one way is measured, over all processes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from dgunet.network import DGUNet, preset
from dgunet.training import TrainingConfig, train, world
from dgunet.training.loop import pick_device

WAYS: dict[str, dict[str, object]] = {
    "plain": {},
    "channels_last": {"channels_last": True},
    "micro_batch 1": {"micro_batch": 1},
    "recompute": {"recompute": True},
    "bfloat16": {"bfloat16": True},
    "fused_adam": {"fused_adam": True},
    "compile": {"compile": True},
    "bfloat16, channels_last, recompute, fused_adam": {
        "bfloat16": True,
        "channels_last": True,
        "recompute": True,
        "fused_adam": True,
    },
}


class Noise:
    """Batches of noise, made anew for every step as a loader would."""

    def __init__(self, batch: int, channels: int, patch: int) -> None:
        self.batch, self._shape = batch, (channels, patch, patch)

    def part(self, step: int, places: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.rand(len(places), *self._shape)
        return image, image


def measure(way: str, args: argparse.Namespace) -> dict[str, object] | None:
    """Images per second, seconds of CPU a step and peak GiB of this process; None beside rank 0."""
    network = DGUNet(preset(args.task, args.variant, ratio=10 if args.task == "cs" else None))
    batches = Noise(args.batch, network.config.channels, args.patch)
    config = TrainingConfig(
        iterations=args.warm + args.steps,
        learning_rate=1e-5,
        warmup=1,
        device=args.device,
        threads=args.threads,
        **WAYS[way],  # type: ignore[arg-type]
    )
    before, cpu, seconds = memory(), [], []

    def observe(report: object) -> None:
        cpu.append(time.process_time())
        seconds.append(report.seconds)  # type: ignore[attr-defined]

    with world(pick_device(args.device)) as processes:
        train(network, batches, config, observe=observe, world=processes)
        if not processes.leads:
            return None
        step = statistics.median(seconds[args.warm :])
        used = statistics.median(b - a for a, b in itertools.pairwise(cpu[args.warm - 1 :]))
        return {
            "way": way,
            "images_per_second": round(args.batch / step, 3),
            "cpu_seconds_a_step": round(used, 3),
            "peak_gib_above_start": round(memory() - before, 3),
            "processes": processes.size,
        }


def memory() -> float:
    """The most GiB that this process had: of the GPU's tensors, or resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def logging_microseconds(calls: int = 500) -> float:
    """What telling the journal of one step costs a training, MLflow being sent to later."""
    from dgunet.tracking import start_run

    names = ["loss", "learning_rate", "gradient_norm", "images_per_second", "memory_gib"]
    metrics = dict.fromkeys([*names, *(f"loss_stage_{k}" for k in range(1, 8))], 0.5)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DGUNET_HOME": folder, "DGUNET_TRACKING": "later"}
        with start_run("benchmark", "logging", tags={}, params={}) as run:
            started = time.perf_counter()
            for step in range(calls):
                run.log_metrics(metrics, step=step)
            return 1e6 * (time.perf_counter() - started) / calls


def main() -> None:
    """Measure every way in turn, or the one of ``--only``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="derain", choices=["derain", "deblur", "denoise", "cs"])
    parser.add_argument("--variant", default="DGUNet", choices=["DGUNet", "DGUNet+"])
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--warm", type=int, default=1, help="steps that are left out, at least 1")
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--limit", type=float, default=300, help="seconds for one way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=list(WAYS), help="one way, in this process")
    parser.add_argument("--json", type=Path, help="write the results there too")
    args = parser.parse_args()
    if args.only:
        if (result := measure(args.only, args)) is not None:
            print(json.dumps(result))
        return
    results = []
    for way in WAYS:
        line = [sys.executable, __file__, *sys.argv[1:], "--only", way]
        try:
            done = subprocess.run(
                line, capture_output=True, text=True, check=False, timeout=args.limit
            )
        except subprocess.TimeoutExpired:
            results.append({"way": way, "not_finished_in_seconds": args.limit})
            print(json.dumps(results[-1]), file=sys.stderr)
            continue
        if done.returncode:
            print(f"{way}: failed: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        results.append(json.loads(done.stdout.splitlines()[-1]))
        print(done.stdout.splitlines()[-1], file=sys.stderr)
    plain = results[0]
    print("| Way | images/s | CPU s a step | to plain | peak GiB |\n|---|---:|---:|---:|---:|")
    for result in results:
        if "not_finished_in_seconds" in result:
            print(f"| {result['way']} | not finished in {args.limit:.0f} s | | | |")
            continue
        share = result["cpu_seconds_a_step"] / plain["cpu_seconds_a_step"]
        print(
            f"| {result['way']} | {result['images_per_second']} | {result['cpu_seconds_a_step']} "
            f"| {share:.2f} | {result['peak_gib_above_start']} |"
        )
    cost = logging_microseconds()
    print(f"\nTelling the journal of a step: {cost:.0f} us.")
    if args.json:
        about = {k: v for k, v in vars(args).items() if k not in ("json", "only")}
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        content = {
            "device": device,
            "measured_on": f"{os.cpu_count()} CPU cores, other work beside it",
            "torch": torch.__version__,
            "settings": about,
            "results": results,
            "logging_microseconds_a_step": round(cost),
        }
        args.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
