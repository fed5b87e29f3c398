"""Survey of the test sets of a task in a data source; the tables show "not run" for the others."""

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
    """Datasets of ``task`` among ``sets`` that the source has, and a Markdown page about them.

    Raises:
        ConfigError: for an unknown task, or a source without a version.
        DataError: for an unknown dataset, a source that cannot be read, or if it has none of them.
    """
    check_task(task)
    requested = [name for name in sets if dataset(name).task == task]
    found = at_hand(params, requested, source, version)
    if not found:
        raise DataError(
            f"{source} has none of the {task} test sets"
            f" {', '.join(requested) or '(none requested)'}.",
            "Add at least one of them, or omit the task.",
        )
    rows = [f"| {name} | {'yes' if name in found else 'absent'} |" for name in requested]
    head = [f"# Test sets of {task}", "", f"{source} at {version}", "", "| dataset | present |"]
    return found, "\n".join([*head, "|---|---|", *rows, ""])
