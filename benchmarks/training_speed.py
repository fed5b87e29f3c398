"""Measure time and peak memory of training steps, each option and variant in its own process.

Examples:
    python benchmarks/training_speed.py --task derain --patch 64 --batch 2      # one CPU or GPU
    torchrun --nproc-per-node 8 benchmarks/training_speed.py --only plain --variants DGUNet+ \
        --batch 16 --patch 256

The steps are those of `dgunet.training.train` on noise, without validation or checkpoints; the
first ones are omitted. A step comprises its data, both passes and the optimiser. On a shared
machine compare the CPU seconds with those of the plain float32 step; the rates are unreliable
there. Under torchrun one option is measured, over all processes.
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
from typing import Any

import torch

from dgunet.config import RuntimeSettings, TrainingSettings
from dgunet.network import DGUNet, preset
from dgunet.network.devices import pick_device
from dgunet.training import LaunchedProcess, StepReport, ValidationReport, joined_processes, train

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
    """Batches of noise, generated for every step as a loader would."""

    def __init__(self, batch: int, channels: int, patch: int) -> None:
        self.batch, self._shape = batch, (channels, patch, patch)

    def part(self, step: int, positions: Sequence[int], /) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise for each position, the same as input and target."""
        image = torch.rand(len(positions), *self._shape)
        return image, image


class Clock:
    """Records the CPU time and the duration of every step."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.seconds: list[float] = []

    def on_step(self, report: StepReport, /) -> None:
        """Record one step."""
        self.cpu.append(time.process_time())
        self.seconds.append(report.seconds)

    def on_validation(self, report: ValidationReport, /) -> None:
        """Do nothing: there is no validation."""


def measure(way: str, variant: str, args: argparse.Namespace) -> dict[str, object] | None:
    """Images per second, CPU seconds per step and peak GiB of this process; None if not rank 0."""
    network = DGUNet(preset(args.task, variant, ratio=10 if args.task == "cs" else None))
    batches = Noise(args.batch, network.config.channels, args.patch)
    settings = TrainingSettings(
        iterations=args.warm + args.steps,
        batch=args.batch,
        patch=args.patch,
        learning_rate=1e-5,
        warmup=1,
        **WAYS[way],  # type: ignore[arg-type]
    )
    runtime = RuntimeSettings(device=args.device, threads=args.threads)
    before, clock = memory(), Clock()
    process = LaunchedProcess.from_variables(os.environ)
    with joined_processes(pick_device(args.device), process) as processes:
        train(network, batches, settings, runtime, reporter=clock, world=processes)
        if not processes.leads:
            return None
        step = statistics.median(clock.seconds[args.warm :])
        used = statistics.median(b - a for a, b in itertools.pairwise(clock.cpu[args.warm - 1 :]))
        return {
            "variant": variant,
            "way": way,
            "images_per_second": round(args.batch / step, 3),
            "cpu_seconds_a_step": round(used, 3),
            "peak_gib_above_start": round(memory() - before, 3),
            "processes": processes.size,
        }


def memory() -> float:
    """Peak GiB of this process: of the tensors on the GPU, or resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def logging_microseconds(calls: int = 500) -> float:
    """Cost of writing one step to the journal, in microseconds."""
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


def measure_in_process(way: str, variant: str, limit: float) -> dict[str, Any]:
    """The result of `measure` in its own process, or the reason of its failure."""
    line = [sys.executable, __file__, *sys.argv[1:], "--only", way, "--variants", variant]
    try:
        done = subprocess.run(
            line, capture_output=True, encoding="utf-8", check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not finished in {limit:.0f} s"}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def print_table(results: list[dict[str, Any]]) -> None:
    """Print the results as Markdown, relative to the plain float32 step of the variant."""
    print("| Variant | Option | images/s | to plain | CPU s per step | to plain | peak GiB |")
    print("|---|---|---:|---:|---:|---:|---:|")
    plain = {result["variant"]: result for result in results if result["way"] == "plain"}
    for result in results:
        name = f"| {result['variant']} | {result['way']} |"
        if "failed" in result:
            print(f"{name} {result['failed']} | | | | |")
            continue

        def relative(key: str, result: dict[str, Any] = result) -> str:
            whole = plain.get(result["variant"], {}).get(key)
            return f"{result[key]} | {result[key] / whole:.2f}" if whole else f"{result[key]} |"

        speed, cpu = relative("images_per_second"), relative("cpu_seconds_a_step")
        print(f"{name} {speed} | {cpu} | {result['peak_gib_above_start']} |")


def main() -> None:
    """Measure all options in turn, or the one of ``--only``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="derain", choices=["derain", "deblur", "denoise", "cs"])
    both = ["DGUNet", "DGUNet+"]
    parser.add_argument("--variants", nargs="+", default=both, choices=both)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--warm", type=int, default=1, help="first steps to omit, at least 1")
    parser.add_argument("--steps", type=int, default=3, help="steps to measure")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--limit", type=float, default=300, help="seconds allowed for one option")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=list(WAYS), help="one option, in this process")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args()
    if args.only:
        for variant in args.variants:
            if (result := measure(args.only, variant, args)) is not None:
                print(json.dumps(result))
        return
    results = []
    for variant, way in itertools.product(args.variants, WAYS):
        results.append(
            {"variant": variant, "way": way} | measure_in_process(way, variant, args.limit)
        )
        print(json.dumps(results[-1]), file=sys.stderr)
    print_table(results)
    cost = logging_microseconds()
    print(f"\nWriting a step to the journal: {cost:.0f} us.")
    if args.json:
        about = {k: v for k, v in vars(args).items() if k not in ("json", "only")}
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        content = {
            "device": device,
            "measured_on": f"{os.cpu_count()} CPU cores, shared with other work",
            "torch": torch.__version__,
            "settings": about,
            "results": results,
            "logging_microseconds_a_step": round(cost),
        }
        args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
