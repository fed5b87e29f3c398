"""Consent to licences, and the fetches that need it: datasets and weights from stated places."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli.progress_bar import progress_bar
from dgunet.system import environment
from dgunet.system.errors import ConfigError
from dgunet.terms import Task, Variant

if TYPE_CHECKING:
    from dgunet.data.acquisition.fetch_plan import FetchPlan

AcceptLicence = Annotated[
    bool,
    typer.Option(
        "--accept-licence", help="accept the licence that is shown, instead of being asked"
    ),
]


def has_consent(plans: Sequence[FetchPlan], *, accept: bool) -> bool:
    """Return whether the user accepts the terms of ``plans``, which have been shown.

    Args:
        plans: what will be fetched.
        accept: whether ``--accept-licence`` was given.

    Raises:
        ConfigError: if nobody can be asked, because there is no terminal.
    """
    accepted = environment.ACCEPT_LICENCE.get()
    open_names = [plan.name for plan in plans if not accepted & {plan.name, "all"}]
    if accept or not open_names:
        return True
    named = ",".join(open_names)
    if not sys.stdin.isatty():
        raise ConfigError(
            f"the licence of {named} has not been accepted, and there is no terminal to ask on.",
            "Read the terms above; then add --accept-licence, or set"
            f" {environment.ACCEPT_LICENCE.name}={named} (or all).",
        )
    return typer.confirm("Accept these terms and download?", default=False, err=True)


def split_names(name: str, further: Sequence[str]) -> list[str]:
    """Return the datasets to fetch from stated places; none if ``further`` are addresses.

    Raises:
        ConfigError: for names and addresses together.
    """
    from dgunet.data.catalogue.entries import CATALOGUE, FURTHER, dataset

    dataset(name)
    names = [one for one in further if one in CATALOGUE or one in FURTHER]
    if names and len(names) < len(further):
        other = next(one for one in further if one not in names)
        raise ConfigError(
            f"{names[0]} is a dataset and {other} is an address or a path.",
            "Give addresses of one dataset, or names of several; write the path ./NAME for a folder"
            " that has the name of a dataset.",
        )
    return [] if further and not names else list(dict.fromkeys([name, *names]))


def fetch_stated(names: list[str], root: Path, downloads: Path, *, accept: bool) -> None:
    """Show the plans of the datasets, ask once, fetch them and print what came.

    Of several datasets, those that are under ``root`` already are left out with a line.
    """
    from dgunet.data.acquisition.fetch_plan import plan_fetch
    from dgunet.data.acquisition.fetching import check_absent
    from dgunet.data.acquisition.known_sources import fetch_known, require_downloadable
    from dgunet.data.catalogue.entries import dataset
    from dgunet.data.readers.folder_layouts import find_present

    plans = []
    for name in names:
        if len(names) > 1 and (folder := find_present(dataset(name), root)) is not None:
            typer.echo(f"{name}: {folder} is there already")
            continue
        check_absent(dataset(name), root)
        plans.append(plan_fetch(name))
    _show(plans, root, downloads)
    for plan in plans:
        require_downloadable(plan)
    agreed = has_consent(plans, accept=accept)
    for plan in plans:
        with progress_bar(plan.name, "B") as observe:
            fetched = fetch_known(
                plan.name,
                root,
                downloads,
                consent=lambda plan: agreed,
                observe=observe,
                note=_note,
            )
        for line in fetched.lines():
            typer.echo(line)


def fetch_released(
    network: tuple[Task, Variant, int | None], out: Path, downloads: Path, *, accept: bool
) -> None:
    """Show the plan for the authors' weights, ask once, fetch them and convert them to ``out``."""
    from dgunet.data.acquisition.fetch_plan import plan_weights
    from dgunet.data.acquisition.released_weights import released_weights

    plan = plan_weights(network[0])
    _show([plan], out.parent, downloads)
    with progress_bar(plan.name, "B") as observe:
        released_weights(
            *network,
            out,
            downloads,
            consent=lambda shown: has_consent([shown], accept=accept),
            observe=observe,
            note=_note,
        )


def accept_for_steps(plans: Sequence[FetchPlan], folder: Path, *, accept: bool) -> None:
    """Show what the steps of a pipeline will download, ask once, and let the steps know.

    Args:
        plans: of the downloads; nothing is asked if there are none.
        folder: folder of the run.
        accept: whether ``--accept-licence`` was given.

    Raises:
        ConfigError: if nobody can be asked, or the terms are not accepted.
    """
    if not plans:
        return
    _show(plans, folder, folder)
    if not has_consent(plans, accept=accept):
        raise ConfigError(
            "the terms were not accepted; nothing was downloaded.",
            "Without the authors' weights: -p weights=trained.",
        )
    accepted = environment.ACCEPT_LICENCE.get() | {plan.name for plan in plans}
    environment.ACCEPT_LICENCE.set(",".join(sorted(accepted)))


def _show(plans: Sequence[FetchPlan], root: Path, downloads: Path) -> None:
    for plan in plans:
        for line in plan.lines(root, downloads):
            typer.echo(line)


def _note(line: str) -> None:
    typer.echo(line, err=True)
