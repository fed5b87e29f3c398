"""One evaluation shared by several processes, spread over the GPUs or the CPU threads."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import torch

from dgunet.backends import on_backend
from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.image_steps import Settings
from dgunet.evaluation.memory import free_bytes
from dgunet.evaluation.protocols import protocol
from dgunet.evaluation.row_journal import Note
from dgunet.evaluation.runner import count_done, score_shard
from dgunet.network import load_network
from dgunet.network.kernels import kernels
from dgunet.system.errors import EvaluationError
from dgunet.system.parent_process import end_with_parent

_POLL_SECONDS = 2.0


def evaluate_in_processes(
    weights: Path,
    store: PairStore,
    work: Path,
    settings: Settings,
    *,
    processes: int,
    device: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    note: Note = lambda line: None,
) -> None:
    """Score every image of ``store`` into journals in ``work``; merge them with `merge_rows`.

    The caller has locked the place of ``work`` with `dgunet.evaluation.unfinished.alone`. The
    processes end with this one, however it ends.

    Args:
        weights: file of the weights, read by `dgunet.network.load_network`.
        store: the prepared set; the processes map its files without checking them again.
        work: folder of the unfinished evaluation.
        settings: settings of the evaluation.
        processes: number of processes. On ``cuda`` they are spread over the GPUs; on ``cpu`` each
            gets an equal share of the threads. Processes on one device share its memory.
        device: ``cpu`` or ``cuda``.
        on_progress: called every few seconds as ``on_progress(done, total)``, in images.
        note: called with one line for each damaged row of a killed run; its image is scored again.

    Raises:
        DgunetError: the first error of a process; all finished rows are kept, and the same call
            resumes from them.
    """
    threads = max(1, torch.get_num_threads() // processes)
    if device == "cpu" and settings.budget is None:
        # Measured once before they start: later the free memory depends on the other processes.
        settings = replace(settings, budget=free_bytes(torch.device(device)) // processes)
    rules = protocol(store.manifest.protocol)
    count_done(store, rules, work, settings, note)
    # Spawned, because torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, end_with_parent, (os.getpid(),)) as pool:
        shards = {
            pool.submit(
                _evaluate, weights, store, work, settings, (part, processes), device, threads
            )
            for part in range(processes)
        }
        going = shards
        while going:
            _, going = wait(going, _POLL_SECONDS, FIRST_EXCEPTION)
            on_progress(count_done(store, rules, work, settings), len(store))
        for shard in shards:
            _result(shard)


def _result(shard: Future[None]) -> None:
    try:
        shard.result()
    except BrokenProcessPool as error:
        raise EvaluationError(
            "a process that scored images was killed, most likely because memory ran out.",
            "Use fewer --processes; the same command resumes where this one stopped.",
        ) from error


def _evaluate(
    weights: Path,
    store: PairStore,
    work: Path,
    settings: Settings,
    shard: tuple[int, int],
    device: str,
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    own_device = device
    if device == "cuda":
        part, parts = shard
        gpus = torch.cuda.device_count()
        own_device = f"cuda:{part % gpus}"
        if settings.budget is None and (neighbours := -(-parts // gpus)) > 1:
            whole = torch.cuda.get_device_properties(own_device).total_memory
            settings = replace(settings, budget=whole // neighbours)
    rules = protocol(store.manifest.protocol)
    with kernels(settings.kernels):
        network, _ = load_network(weights)
        network = on_backend(network.to(own_device), settings.backend)
        score_shard(network, store, rules, work, settings, shard=shard)
