"""Collects the verbs: each sibling module adds its own with ``register(app)``."""

from __future__ import annotations

import importlib

import typer

MODULES = (
    "data_commands",
    "step_commands",
    "training_commands",
    "evaluation_commands",
    "network_commands",
    "tracking_commands",
    "runs_commands",
    "models_commands",
    "pipeline_commands",
    "cleaning_commands",
)


def register(app: typer.Typer) -> None:
    """Add the verbs of every sibling module to ``app``."""
    for name in MODULES:
        importlib.import_module(f"dgunet.cli.{name}").register(app)
