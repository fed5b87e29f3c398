"""Collects the verbs: each sibling module adds its own with ``register(app)``."""

from __future__ import annotations

import importlib

import typer

MODULES = (
    "data",
    "stages",
    "training",
    "evaluation",
    "network",
    "tracking",
    "runs",
    "models",
    "pipeline",
    "cleaning",
)


def register(app: typer.Typer) -> None:
    """Add the verbs of every sibling module to ``app``."""
    for name in MODULES:
        importlib.import_module(f"dgunet.cli.{name}").register(app)
