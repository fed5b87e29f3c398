"""Adds the commands of all sibling modules to the application, or of the one that is called."""

from __future__ import annotations

from collections.abc import Callable

import typer

Register = Callable[[typer.Typer], None]


def register(app: typer.Typer, word: str = "") -> None:
    """Add the commands of every module to ``app``, in the order that ``--help`` shows.

    Args:
        app: the application.
        word: the first word of a command line; if it is a command, only its module is imported.
    """
    chosen = [group for group in GROUPS if word in group[0]] or GROUPS
    for _, add in chosen:
        add(app)


def _campaign(app: typer.Typer) -> None:
    from dgunet.cli import campaign_commands

    campaign_commands.register(app)


def _data(app: typer.Typer) -> None:
    from dgunet.cli import data_commands

    data_commands.register(app)


def _steps(app: typer.Typer) -> None:
    from dgunet.cli import step_commands

    step_commands.register(app)


def _report(app: typer.Typer) -> None:
    from dgunet.cli import report_commands

    report_commands.register(app)


def _training(app: typer.Typer) -> None:
    from dgunet.cli import training_commands

    training_commands.register(app)


def _evaluation(app: typer.Typer) -> None:
    from dgunet.cli import evaluation_commands

    evaluation_commands.register(app)


def _drift(app: typer.Typer) -> None:
    from dgunet.cli import drift_command

    drift_command.register(app)


def _claims(app: typer.Typer) -> None:
    from dgunet.cli import claims_command

    claims_command.register(app)


def _verify(app: typer.Typer) -> None:
    from dgunet.cli import verify_command

    verify_command.register(app)


def _bundle(app: typer.Typer) -> None:
    from dgunet.cli import bundle_command

    bundle_command.register(app)


def _reduced(app: typer.Typer) -> None:
    from dgunet.cli import reduced_command

    reduced_command.register(app)


def _demo(app: typer.Typer) -> None:
    from dgunet.cli import demo_command

    demo_command.register(app)


def _network(app: typer.Typer) -> None:
    from dgunet.cli import network_commands

    network_commands.register(app)


def _tracking(app: typer.Typer) -> None:
    from dgunet.cli import tracking_commands

    tracking_commands.register(app)


def _runs(app: typer.Typer) -> None:
    from dgunet.cli import runs_commands

    runs_commands.register(app)


def _models(app: typer.Typer) -> None:
    from dgunet.cli import models_commands

    models_commands.register(app)


def _pipeline(app: typer.Typer) -> None:
    from dgunet.cli import pipeline_commands

    pipeline_commands.register(app)


def _calibration(app: typer.Typer) -> None:
    from dgunet.cli import calibration_command

    calibration_command.register(app)


def _cleaning(app: typer.Typer) -> None:
    from dgunet.cli import cleaning_commands

    cleaning_commands.register(app)


GROUPS: tuple[tuple[tuple[str, ...], Register], ...] = (
    (("campaign",), _campaign),
    (("data",), _data),
    (("train", "evaluate", "tables", "explain"), _steps),
    (("report", "status"), _report),
    (("recipe",), _training),
    (("restore", "score", "protocols", "selftest", "dnd"), _evaluation),
    (("claims",), _claims),
    (("verify",), _verify),
    (("bundle",), _bundle),
    (("drift",), _drift),
    (("reduced-run",), _reduced),
    (("demo",), _demo),
    (("describe", "errata", "inspect", "measure", "reconstruct", "checkpoint"), _network),
    (("tracking",), _tracking),
    (("runs",), _runs),
    (("models",), _models),
    (("pipeline",), _pipeline),
    (("calibrate",), _calibration),
    (("clean",), _cleaning),
)
"""The commands of each module, and the function that adds them."""
