"""One evaluation shared by several processes, each with a device of its own."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from dgunet.data.store import PairStore
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.runner import evaluate_shard
from dgunet.evaluation.steps import Settings
from dgunet.network import load_network


def evaluate_in_processes(
    weights: Path, store: Path, out: Path, settings: Settings, *, processes: int, device: str
) -> None:
    """Score every image of ``store`` into journals in ``out``; merge them with `merge_shards`.

    Args:
        weights: what `dgunet.network.load_network` reads.
        store: folder of the prepared set.
        out: folder of the results.
        settings: of the evaluation.
        processes: how many share the images. On ``cuda`` they take the GPUs in turn; on ``cpu``
            each takes its share of the threads this process may use.
        device: ``cpu`` or ``cuda``.

    Raises:
        DgunetError: whatever one of them could not do; the rows of the others are kept, and the
            same call goes on from there.
    """
    threads = max(1, torch.get_num_threads() // processes)
    # Not forked: threads of torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        shards = [
            pool.submit(
                _evaluate, weights, store, out, settings, (part, processes), device, threads
            )
            for part in range(processes)
        ]
        for shard in as_completed(shards):
            shard.result()


def _evaluate(
    weights: Path,
    store: Path,
    out: Path,
    settings: Settings,
    shard: tuple[int, int],
    device: str,
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    place = f"cuda:{shard[0] % torch.cuda.device_count()}" if device == "cuda" else device
    network, _ = load_network(weights)
    pairs = PairStore.open(store)
    rules = protocol(pairs.manifest.protocol)
    evaluate_shard(network.to(place), pairs, rules, out, settings, shard=shard)
