"""One evaluation shared by several processes, each with a device of its own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import torch

from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.memory import free_bytes
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.row_journal import Note
from dgunet.evaluation.runner import count_done, score_shard
from dgunet.network import load_network
from dgunet.system.errors import EvaluationError
from dgunet.system.parent_process import end_with_parent

_LOOK_SECONDS = 2.0


def evaluate_in_processes(
    weights: Path,
    store: PairStore,
    out: Path,
    settings: Settings,
    *,
    processes: int,
    device: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    note: Note = lambda line: None,
) -> None:
    """Score every image of ``store`` into journals in ``out``; merge them with `merge_rows`.

    The caller holds ``out`` by `dgunet.evaluation.folder_turns.alone`. The processes end with this
    one, however it ends.

    Args:
        weights: what `dgunet.network.load_network` reads.
        store: the prepared set; the processes map its files, and do not check them again.
        out: folder of the results.
        settings: of the evaluation.
        processes: how many share the images. On ``cuda`` they take the GPUs in turn; on ``cpu``
            each takes its share of the threads this process may use. Those that share a device
            share its memory.
        device: ``cpu`` or ``cuda``.
        on_progress: called as ``on_progress(done, total)`` with images, every few seconds.
        note: called with one line for each row of a killed run that is damaged, and scored again.

    Raises:
        DgunetError: whatever one of them could not do; the rows of the others are kept, and the
            same call goes on from there.
    """
    threads = max(1, torch.get_num_threads() // processes)
    if device == "cpu":
        # Once, before they begin: what is free later depends on what the others just do.
        settings = replace(settings, budget=free_bytes(torch.device(device)) // processes)
    rules = protocol(store.manifest.protocol)
    count_done(store, rules, out, settings, note)
    # Not forked: threads of torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, end_with_parent, (os.getpid(),)) as pool:
        shards = {
            pool.submit(
                _evaluate, weights, store, out, settings, (part, processes), device, threads
            )
            for part in range(processes)
        }
        going = shards
        while going:
            _, going = wait(going, _LOOK_SECONDS, FIRST_EXCEPTION)
            on_progress(count_done(store, rules, out, settings), len(store))
        for shard in shards:
            _result(shard)


def _result(shard: Future[None]) -> None:
    try:
        shard.result()
    except BrokenProcessPool as error:
        raise EvaluationError(
            "a process that scored images was killed, most likely for want of memory.",
            "Use fewer --processes; the same command goes on where this one stopped.",
        ) from error


def _evaluate(
    weights: Path,
    store: PairStore,
    out: Path,
    settings: Settings,
    shard: tuple[int, int],
    device: str,
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    place = device
    if device == "cuda":
        part, parts = shard
        gpus = torch.cuda.device_count()
        place = f"cuda:{part % gpus}"
        if (neighbours := -(-parts // gpus)) > 1:
            whole = torch.cuda.get_device_properties(place).total_memory
            settings = replace(settings, budget=whole // neighbours)
    network, _ = load_network(weights)
    rules = protocol(store.manifest.protocol)
    score_shard(network.to(place), store, rules, out, settings, shard=shard)
