"""Which test sets of a task a data source has; the tables say "not run" for the others."""

from __future__ import annotations

from collections.abc import Sequence

from dgunet.config import Params
from dgunet.data.catalogue.entries import dataset
from dgunet.kubeflow.steps.data_source import at_hand
from dgunet.system.errors import DataError
from dgunet.terms import check_task


def survey(
    params: Params, task: str, sets: Sequence[str], source: str, version: str
) -> tuple[list[str], str]:
    """The sets of ``task`` among ``sets`` that are there, and a Markdown page about all.

    Raises:
        ConfigError: for an unknown task, or a source without a version.
        DataError: for an unknown set, a source that cannot be read, or if no set is there.
    """
    check_task(task)
    wanted = [name for name in sets if dataset(name).task == task]
    found = at_hand(params, wanted, source, version)
    if not found:
        raise DataError(
            f"{source} has none of the {task} test sets {', '.join(wanted) or '(none asked for)'}.",
            "Bring at least one of them, or leave the task out.",
        )
    rows = [f"| {name} | {'yes' if name in found else 'absent'} |" for name in wanted]
    head = [f"# Test sets of {task}", "", f"{source} at {version}", "", "| set | there |"]
    return found, "\n".join([*head, "|---|---|", *rows, ""])
