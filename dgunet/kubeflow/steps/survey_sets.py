"""The test sets of a task that a data source has; the tables show "not run" for the others."""

from __future__ import annotations

from collections.abc import Sequence

from dgunet.data.catalogue.entries import dataset
from dgunet.kubeflow.steps.data_source import existing_sets
from dgunet.system.errors import DataError
from dgunet.terms import check_task


def available_test_sets(
    profile: str, task: str, sets: Sequence[str], source: str, version: str
) -> tuple[list[str], str]:
    """Those of ``sets`` that belong to ``task`` and exist, and a Markdown page about all of them.

    Raises:
        ConfigError: for an unknown task, or a source without a version.
        DataError: for an unknown set, an unreadable source, or if none of the sets exists.
    """
    check_task(task)
    requested = [name for name in sets if dataset(name).task == task]
    found = existing_sets(profile, requested, source, version)
    if not found:
        names = ", ".join(requested) or "(none requested)"
        raise DataError(
            f"{source} has none of the {task} test sets {names}.",
            "Add at least one of them to the data, or leave out the task.",
        )
    rows = [f"| {name} | {'yes' if name in found else 'no'} |" for name in requested]
    head = [f"# Test sets of {task}", "", f"{source} at {version}", "", "| test set | exists |"]
    return found, "\n".join([*head, "|---|---|", *rows, ""])
