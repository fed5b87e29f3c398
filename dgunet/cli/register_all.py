"""Adds the commands of all sibling modules to the application."""

from __future__ import annotations

import typer

from dgunet.cli import (
    campaign_commands,
    cleaning_commands,
    data_commands,
    demo_command,
    drift_command,
    evaluation_commands,
    models_commands,
    network_commands,
    pipeline_commands,
    runs_commands,
    step_commands,
    tracking_commands,
    training_commands,
)

MODULES = (
    campaign_commands,
    data_commands,
    step_commands,
    training_commands,
    evaluation_commands,
    drift_command,
    demo_command,
    network_commands,
    tracking_commands,
    runs_commands,
    models_commands,
    pipeline_commands,
    cleaning_commands,
)


def register(app: typer.Typer) -> None:
    """Add the commands of every module to ``app``, in the order that ``--help`` shows."""
    for module in MODULES:
        module.register(app)
