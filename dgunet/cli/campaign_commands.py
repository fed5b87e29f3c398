"""The command of whole campaigns: from nothing to filled tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion
from dgunet.cli.consent import AcceptLicence
from dgunet.cli.cost_options import CalibrationOption, CurrencyOption, PriceOption

if TYPE_CHECKING:
    from dgunet.campaign.description import Campaign, WantedCell
    from dgunet.campaign.plan import CampaignPlan
    from dgunet.costs.machines import Machine
    from dgunet.network import DGUNetConfig
    from dgunet.project import ProjectFolders
    from dgunet.terms import WeightsOrigin


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command()(campaign)


def campaign(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TABLES]...",
            help="table1 to table6",
            show_default="all",
            autocompletion=completion.tables,
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(help="released (the authors'), trained (here), or a file of weights"),
    ] = "released",
    rows: Annotated[
        str,
        typer.Option(
            help="DGUNet, DGUNet+ or ablations such as stages-9, by commas",
            autocompletion=completion.rows,
        ),
    ] = "",
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", help="e.g. Rain100L, 'Set11 10%' or 'w/o SP'; can be repeated"),
    ] = None,
    sets: Annotated[
        str,
        typer.Option(help="test sets, separated by commas", autocompletion=completion.test_sets),
    ] = "",
    plan_only: Annotated[
        bool, typer.Option("--plan", help="print steps, costs and cells, and do nothing")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(help="folder of the campaign in build/campaigns", show_default="as --weights"),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="paper, or sample for the embedded images", autocompletion=completion.profiles
        ),
    ] = "paper",
    gpu: Annotated[
        str | None,
        typer.Option(
            help="plan for this GPU: V100, A100, H100 or H200",
            show_default="all four",
            autocompletion=completion.gpus,
        ),
    ] = None,
    calibration: CalibrationOption = None,
    price: PriceOption = None,
    currency: CurrencyOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="with --plan: print the plan as a JSON object")
    ] = False,
    probe_seconds: Annotated[
        float, typer.Option(help="longest probe of this machine; 0: no probe", min=0, max=600)
    ] = 30.0,
    accept_licence: AcceptLicence = False,
) -> None:
    """Fill cells of the paper's tables: download, check, prepare, evaluate, make the tables.

    Everything that is missing is shown with its licence and its cost, and you are asked once. A
    campaign that was stopped goes on where it stopped when the same command is run again. A set
    that cannot be had is named with the way to get it by hand; the other cells are still filled.

    Results, tables, report and the ledger of all steps are in build/campaigns/NAME; `dgunet explain
    --campaign NAME` shows a cell. The datasets are in data/paper.

    Example: dgunet campaign table1 --plan

    Example: dgunet campaign table1 --plan --gpu A100 --price 2.50 --currency EUR --json

    Example: dgunet campaign table1 table4 --weights released --accept-licence

    Example: dgunet campaign --sets Rain100L,Set11 --rows DGUNet --weights released
    """
    from dgunet.campaign.description import choose_cells
    from dgunet.campaign.folder import campaign_params
    from dgunet.campaign.plan import plan_campaign
    from dgunet.campaign.plan_text import plan_content, plan_text
    from dgunet.costs.calibration import compared_machines
    from dgunet.costs.estimate import given_price
    from dgunet.network.kernels import kernels
    from dgunet.system.errors import ConfigError

    if as_json and not plan_only:
        raise ConfigError("--json without --plan.", "Add --plan: nothing is done then.")
    compared, paid = compared_machines(gpu, None, calibration), given_price(price, currency)
    chosen = choose_cells(tables or [], rows=_split(rows), columns=columns or [], sets=_split(sets))
    here, wanted = _wanted(chosen, weights, name, profile)
    params = campaign_params(here, wanted.profile, wanted.weights)
    with kernels(params.active.runtime.kernels):  # before the probe and the first weights
        machine = _machine(here, probe_seconds) if probe_seconds else None
        plan = plan_campaign(wanted, here, params)
        estimate = plan.estimate([machine, *compared] if machine else compared, paid)
        if as_json:
            typer.echo(json.dumps(plan_content(plan, estimate), indent=2))
        else:
            typer.echo(plan_text(plan, estimate))
        if plan_only:
            return
        if plan.consents:
            _ask(plan, accept=accept_licence)
        _run(plan, machine)


def _wanted(
    cells: tuple[WantedCell, ...], weights: str, name: str | None, profile: str
) -> tuple[ProjectFolders, Campaign]:
    """The folders and the description of what the options ask for."""
    from dgunet.campaign.description import Campaign, for_checkpoint
    from dgunet.campaign.folder import campaign_folders
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import ConfigError
    from dgunet.terms import TABLE_PROFILES, check_profile

    known, file = check_profile(profile), _file(weights)
    if known not in TABLE_PROFILES:
        raise ConfigError(
            f"there are no tables of the profile {known}, which a campaign fills.",
            f"Give --profile {' or '.join(TABLE_PROFILES)}.",
        )
    if file is not None:
        cells = for_checkpoint(cells, _config(file, cells[0]), file)
    origin: WeightsOrigin = "released" if weights == "released" else "trained"
    folder = name or (file.stem if file else weights) + ("" if known == "paper" else f"-{known}")
    here = campaign_folders(ProjectFolders.here(), folder, origin)
    return here, Campaign(known, origin, cells, file)


def _file(weights: str) -> Path | None:
    """The file that --weights names; None for the words."""
    from dgunet.system.errors import CheckpointError
    from dgunet.terms import ORIGINS

    if weights in ORIGINS:
        return None
    if not Path(weights).is_file():
        raise CheckpointError(
            f"--weights {weights}: there is no such file.",
            f"Give a file of weights, or {' or '.join(ORIGINS)}.",
        )
    return Path(weights).absolute()


def _config(file: Path, cell: WantedCell) -> DGUNetConfig:
    """The network in a file of this project or of the authors."""
    from dgunet.data.catalogue.entries import dataset
    from dgunet.network import load_network
    from dgunet.network.official import import_official

    if file.suffix == ".safetensors":
        return load_network(file)[0].config
    task = dataset(cell.slot.datasets[0]).task
    return import_official(file, task=None if task == "derain" else task)[0].config


def _machine(here: ProjectFolders, seconds: float) -> Machine:
    from dgunet.campaign.folder import machine_here

    typer.echo(f"measuring this machine (at most {seconds:g} s, once) ...", err=True)
    return machine_here(here.build.parent, seconds)


def _ask(plan: CampaignPlan, *, accept: bool) -> None:
    """Show everything that will be downloaded with its terms, and ask once."""
    from dgunet.cli.consent import has_consent
    from dgunet.system.errors import DataError

    root, downloads = plan.here.data(plan.campaign.profile), plan.here.home / "build" / "downloads"
    for wanted in plan.consents:
        for line in wanted.lines(root, downloads):
            typer.echo(line)
    if not has_consent(plan.consents, accept=accept):
        raise DataError(
            "the terms were not accepted; nothing was downloaded.",
            "`dgunet data sources` shows where everything comes from.",
        )


def _run(plan: CampaignPlan, machine: Machine | None) -> None:
    from dgunet.campaign.actions import Actions
    from dgunet.campaign.folder import write_settings
    from dgunet.campaign.running import run_campaign
    from dgunet.evaluation.memory import settle_threads
    from dgunet.system import environment

    def tell(line: str) -> None:
        typer.echo(line)
        sys.stdout.flush()

    if not environment.CAMPAIGN.is_given():
        environment.CAMPAIGN.set(f"campaign-{plan.here.build.name}")
    if note := settle_threads():
        tell(f"note: {note}")
    write_settings(plan.here, plan.campaign.profile)
    outcome = run_campaign(plan, Actions(plan, tell), machine, tell)
    tell(f"report   {plan.here.report}")
    tell(f"tables   {plan.here.tables}")
    tell(f"a cell   dgunet explain --campaign {plan.here.build.name} TABLE ROW COLUMN")
    for step, reason in outcome.failed.items():
        typer.echo(f"failed: {step}: {reason}", err=True)
    if outcome.failed:
        typer.echo("run the same command again to try the failed steps", err=True)
        raise typer.Exit(1)


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
