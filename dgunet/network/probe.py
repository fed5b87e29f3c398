"""The choice of the fastest way to compute, by a short probe of this machine that is remembered.

`dgunet.backends.probing` chooses a backend by it, `dgunet.training.step_probe` a training step.
"""

from __future__ import annotations

import logging
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dgunet.network.devices import processor_name
from dgunet.system import environment
from dgunet.system.errors import DgunetError
from dgunet.system.files import sha256_json, write_json
from dgunet.system.machine_limits import processors
from dgunet.system.reading import read_mapping

logger = logging.getLogger(__name__)

ROUNDS = 3
"""How many times each of two ways is timed, in turn."""

GAIN = 1.1
"""The smallest gain that counts: a smaller one is within the noise of a shared machine."""

Tell = Callable[[str], None]


class DiffersError(Exception):
    """A candidate computes something else; the message says what, after its name."""


def times_faster(plain: Callable[[], float], other: Callable[[], float]) -> float:
    """Return the median of the ratios of two durations that are measured in turn.

    Args:
        plain: makes one call of the plain way; its seconds.
        other: makes one call of the candidate; its seconds.
    """
    return statistics.median(plain() / other() for _ in range(ROUNDS))


def fastest(
    subject: str,
    plain: str,
    candidates: Sequence[str],
    gain: Callable[[str], float],
    *,
    state: Mapping[str, Any],
    tell: Tell = logger.info,
) -> str:
    """Return the fastest candidate, or ``plain`` if none is at least `GAIN` times as fast.

    A candidate that fails or differs is left out. The choice is remembered in the cache, for this
    machine, torch, number of threads and ``state``.

    Args:
        subject: what is chosen, for example "backend"; its plural names the folder in the cache.
        plain: the way that needs no probe.
        candidates: the other ways.
        gain: returns how many times faster than ``plain`` a candidate is; raises `DiffersError`
            if it computes something else.
        state: what else the choice depends on, as JSON.
        tell: called with one line about each candidate and the choice.
    """
    note = _note(subject, state)
    if note is not None and (known := _remembered(note, subject)) in (plain, *candidates):
        tell(f"{subject} {known}: the fastest here in an earlier probe ({note})")
        return str(known)
    tell(f"probing the {subject}s {', '.join([plain, *candidates])} once for this machine")
    gains = {name: _gain(name, plain, gain, tell) for name in candidates}
    best = max(gains, key=lambda name: gains[name], default=plain)
    chosen = best if gains.get(best, 0.0) >= GAIN else plain
    content = {subject: chosen, f"times {plain}": gains}
    remembered = note is not None and _remember(note, content)
    tell(f"{subject} {chosen}" + (f"; remembered in {note}" if remembered else ""))
    return chosen


def _gain(name: str, plain: str, gain: Callable[[str], float], tell: Tell) -> float:
    """How many times faster than ``plain`` a candidate is; 0 if it fails or differs."""
    try:
        found = gain(name)
    except DiffersError as error:
        tell(f"{name}: left out, {error}")
        return 0.0
    except (DgunetError, RuntimeError, MemoryError, OSError, ImportError) as error:
        tell(f"{name}: left out, it failed ({error})")
        return 0.0
    tell(f"{name}: {found:.2f} times {plain}")
    return found


def _machine() -> dict[str, Any]:
    """What every choice depends on."""
    return {
        "machine": [processor_name(), platform.machine(), torch.backends.cpu.get_cpu_capability()],
        "cores": processors(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _note(subject: str, state: Mapping[str, Any]) -> Path | None:
    """The file in the cache that remembers the choice; None for a user without a cache."""
    digest = sha256_json(_machine() | dict(state))[:16]
    try:
        folder = environment.cache_folder()
    except OSError:
        return None
    return folder / f"{subject}s".replace(" ", "-") / f"{digest}.json"


def _remembered(note: Path, subject: str) -> Any:
    try:
        return read_mapping(note).get(subject)
    except (OSError, DgunetError):
        return None


def _remember(note: Path, content: Mapping[str, Any]) -> bool:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, content)
    except (OSError, DgunetError):  # the next command probes again
        return False
    return True
