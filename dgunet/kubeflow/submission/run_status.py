"""State, errors and cancellation of a submitted run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dgunet.kubeflow.submission.server import NotThereError, Server, ServerError
from dgunet.kubeflow.submission.submitting import run_url

OVER = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
"""Final states of a run."""

DRIVERS = ("-driver", "executor")
"""Ends of the names of tasks that Kubeflow adds to each step."""


def read_run(server: Server, run_id: str) -> Any:
    """The run, as returned by the API.

    Raises:
        ServerError: if the server has no such run, refuses or does not respond.
    """
    try:
        return server.call("run", "get_run", run_id, doing=f"reading the run {run_id}")
    except NotThereError as error:
        raise NotThereError(
            f"{server.access.host} has no run {run_id}.", "The id of a run is the end of its URL."
        ) from error


def status_text(server: Server, run_id: str) -> str:
    """The run, with a line for every task that has started."""
    run = read_run(server, run_id)
    duration = _duration(run.created_at, run.finished_at)
    lines = [
        f"{run.display_name}  {run.state or 'PENDING'}  {duration}",
        f"  {run_url(server, run_id)}",
        *_table(_tasks(run)),
        *_errors(run),
    ]
    return "\n".join(line.rstrip() for line in lines)


def errors_text(server: Server, run_id: str, step: str | None = None) -> str:
    """The error messages of a run; the API has no logs of pods."""
    run = read_run(server, run_id)
    lines = _errors(run, step) or ["no task has an error message"]
    return "\n".join([f"{run.display_name}  {run.state or 'PENDING'}", *lines])


def cancel_run(server: Server, run_id: str) -> str:
    """Terminate a run; returns a message for the user.

    Raises:
        ServerError: if the run is unknown or has ended, or the server refuses.
    """
    run = read_run(server, run_id)
    if run.state in OVER:
        raise ServerError(
            f"the run {run_id} has already ended: {run.state}.", "There is nothing to cancel."
        )
    server.call("run", "terminate_run", run_id, doing=f"cancelling the run {run_id}")
    return (
        f"{run.display_name} is being cancelled; pods get SIGTERM and trainings write a checkpoint"
        f"\n  {run_url(server, run_id)}"
    )


def _tasks(run: Any) -> list[Any]:
    details = (run.run_details.task_details if run.run_details else None) or []
    started = [task for task in details if not str(task.display_name).endswith(DRIVERS)]
    return sorted(started, key=lambda task: task.start_time or datetime.max.replace(tzinfo=UTC))


def _belongs_to(task: Any, step: str) -> bool:
    name, _, _ = str(task.display_name).partition(":")  # e.g. "prepare: test set"
    return name == step or name.rpartition("-")[0] == step


def _errors(run: Any, step: str | None = None) -> list[str]:
    lines = [f"  error: {_line(run.error.message)}"] if run.error and run.error.message else []
    for task in _tasks(run):
        if task.error and task.error.message and (step is None or _belongs_to(task, step)):
            lines.append(f"  {task.display_name}: {_line(task.error.message)}")
    return lines


def _line(text: str) -> str:
    return " ".join(text.split())


def _table(tasks: Sequence[Any]) -> list[str]:
    width = max((len(str(task.display_name)) for task in tasks), default=0)
    return [
        f"  {task.display_name!s:{width}}  {task.state or 'PENDING':9}  "
        f"{_duration(task.start_time, task.end_time)}"
        for task in tasks
    ]


def _duration(start: datetime | None, end: datetime | None) -> str:
    if start is None or start.year < 1971:  # how the API represents an unset time
        return ""
    over = end is not None and end.year > 1970
    seconds = int(((end if over and end else datetime.now(UTC)) - start).total_seconds())
    hours, rest = divmod(max(seconds, 0), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" + ("" if over else " so far")
