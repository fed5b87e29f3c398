"""Values that the shell offers for arguments and options; each takes what is typed so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from dgunet.terms import ABLATIONS, ARCHITECTURES, BACKENDS, CS_RATIOS, TASKS, VARIANTS, Profile

STATES = ("RUNNING", "FINISHED", "FAILED", "KILLED")
"""The states of runs that `dgunet runs --status` takes."""


def tasks(incomplete: str) -> list[str]:
    """Complete a task."""
    return _starting(TASKS, incomplete)


def variants(incomplete: str) -> list[str]:
    """Complete a variant of the network."""
    return _starting(VARIANTS, incomplete)


def ratios(incomplete: str) -> list[str]:
    """Complete a sampling ratio of the paper, in percent."""
    return _starting(map(str, CS_RATIOS), incomplete)


def ablations(incomplete: str) -> list[str]:
    """Complete an ablation."""
    return _starting(ABLATIONS, incomplete)


def architectures(incomplete: str) -> list[str]:
    """Complete an architecture."""
    return _starting(ARCHITECTURES, incomplete)


def profiles(incomplete: str) -> list[str]:
    """Complete a profile."""
    return _starting(get_args(Profile), incomplete)


def proximal_domains(incomplete: str) -> list[str]:
    """Complete where the proximal mapping of compressive sensing is applied."""
    return _starting(("image", "block"), incomplete)


def devices(incomplete: str) -> list[str]:
    """Complete a device."""
    return _starting(("auto", "cpu", "cuda"), incomplete)


def backends(incomplete: str) -> list[str]:
    """Complete a backend."""
    return _starting(("auto", *BACKENDS), incomplete)


def rows(incomplete: str) -> list[str]:
    """Complete rows of the tables, separated by commas."""
    return _with_commas((*VARIANTS, *ABLATIONS), incomplete)


def tables(incomplete: str) -> list[str]:
    """Complete a table of the paper, as ``table1``."""
    return _starting((f"table{number}" for number in range(1, 7)), incomplete)


def table_numbers(incomplete: str) -> list[str]:
    """Complete the number of a table of the paper."""
    return _starting(map(str, range(1, 7)), incomplete)


def datasets(incomplete: str) -> list[str]:
    """Complete a dataset of the catalogue."""
    from dgunet.data.catalogue.entries import CATALOGUE, FURTHER

    return _starting((*CATALOGUE, *FURTHER), incomplete)


def test_sets(incomplete: str) -> list[str]:
    """Complete test sets of the paper, separated by commas."""
    from dgunet.project import test_sets as named

    return _with_commas(named("all"), incomplete)


def protocols(incomplete: str) -> list[str]:
    """Complete a metric protocol."""
    from dgunet.evaluation.protocols import PROTOCOLS

    return _starting(PROTOCOLS, incomplete)


def gpus(incomplete: str) -> list[str]:
    """Complete a model of GPU."""
    return _starting(("V100", "A100", "H100"), incomplete)


def pipelines(incomplete: str) -> list[str]:
    """Complete a pipeline."""
    names = ("reproduce", "train_evaluate", "evaluate_checkpoint", "ablations")
    return _starting(names, incomplete)


def statuses(incomplete: str) -> list[str]:
    """Complete a status of a run."""
    return _starting(STATES, incomplete)


def _starting(values: Iterable[str], incomplete: str) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]


def _with_commas(values: Iterable[str], incomplete: str) -> list[str]:
    """Complete the last of several values; those before it are kept and not offered again."""
    before, comma, last = incomplete.rpartition(",")
    chosen = before.split(",")
    left = [value for value in values if value not in chosen]
    return [f"{before}{comma}{value}" for value in _starting(left, last)]
