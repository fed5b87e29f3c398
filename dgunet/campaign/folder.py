"""The folder of a campaign, its settings, and the probe of this machine that it keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from dgunet.config import Params, load_params
from dgunet.costs.calibration import kept_machine
from dgunet.costs.machines import Machine
from dgunet.project import ProjectFolders
from dgunet.system import files
from dgunet.system.errors import ConfigError
from dgunet.system.reading import read_mapping, shorten
from dgunet.terms import VARIANTS, Profile, WeightsOrigin

SETTINGS, MACHINE = "campaign.json", "machine.json"

NAME = r"[A-Za-z0-9][A-Za-z0-9+._-]{0,63}"


def campaign_folders(here: ProjectFolders, name: str, weights: WeightsOrigin) -> ProjectFolders:
    """The folders of the campaign called ``name``: ``build/campaigns/NAME``.

    Raises:
        ConfigError: if the name is not usable as a folder's name.
    """
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            f"--name is {shorten(name)}.", "Use letters, digits and + . _ - (at most 64)."
        )
    return ProjectFolders(here.home, weights, f"build/campaigns/{name}")


def campaign_params(here: ProjectFolders, profile: Profile, weights: WeightsOrigin) -> Params:
    """The project's parameters with both variants and the campaign's profile and weights."""
    changes = {"profile": profile, "weights": weights, "variants": VARIANTS}
    return load_params(here.params).model_copy(update=changes)


def write_settings(here: ProjectFolders, profile: Profile) -> None:
    """Record profile and weights, which `open_campaign` reads.

    Raises:
        ConfigError: if the folder is that of a campaign with another profile or other weights.
    """
    path, content = here.build / SETTINGS, {"profile": profile, "weights": here.weights}
    if path.is_file() and (before := read_mapping(path)) != content:
        raise ConfigError(
            f"{here.build} is a campaign with profile {before.get('profile')} and weights"
            f" {before.get('weights')}, not {profile} and {here.weights}.",
            "Choose another --name.",
        )
    files.write_json(path, content)


def open_campaign(here: ProjectFolders, name: str) -> tuple[ProjectFolders, Params]:
    """The folders and the parameters of an existing campaign.

    Raises:
        ConfigError: if there is none of this name; the message lists those that exist.
    """
    path = campaign_folders(here, name, "trained").build / SETTINGS
    if not path.is_file():
        names = sorted(p.parent.name for p in here.home.glob(f"build/campaigns/*/{SETTINGS}"))
        hint = f"Campaigns are: {', '.join(names)}." if names else "Run one: dgunet campaign --help"
        raise ConfigError(f"there is no campaign {shorten(name)}.", hint)
    content = read_mapping(path)
    profile, weights = content.get("profile"), content.get("weights")
    if profile not in ("sample", "paper") or weights not in ("trained", "released"):
        raise ConfigError(f"{path} is damaged.", "Run the campaign again.")
    return campaign_folders(here, name, weights), campaign_params(here, profile, weights)


def machine_here(
    folder: Path, seconds: float, observe: Callable[[float, float], None] | None = None
) -> Machine:
    """The rates of this machine: measured once, then read from ``folder``.

    Raises:
        DgunetError: as `dgunet.costs.calibration.calibrate`.
    """
    return kept_machine(folder / MACHINE, seconds, observe=observe)
