"""Commands of the pipeline: train, evaluate, tables, explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dgunet.cli import completion
from dgunet.cli.evaluation_parts import PartOption, print_parts
from dgunet.cli.restoration_options import BackendOption, MemoryOption, ScratchOption, memory_bytes
from dgunet.terms import EAGER

if TYPE_CHECKING:
    from dgunet.config import Params
    from dgunet.evaluation.network_evaluation import EvaluationOptions
    from dgunet.evaluation.summary import EvaluationSummary
    from dgunet.steps.evaluation_plan import PlannedEvaluation

AblationOption = Annotated[
    str | None,
    typer.Option(
        help="a network of Tables 5 and 6, one of the names above",
        autocompletion=completion.ablations,
    ),
]
Task = Annotated[
    str, typer.Argument(help="derain, deblur, denoise or cs", autocompletion=completion.tasks)
]
RatioOption = Annotated[
    int | None,
    typer.Option(
        help="compressive sensing only: percent of measurements, 1 4 10 25 50",
        autocompletion=completion.ratios,
    ),
]
ParamsOption = Annotated[
    Path | None,
    typer.Option("--params", help="parameter file", show_default="the project's params.yaml"),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command()(train)
    app.command()(evaluate)
    app.command()(tables)
    app.command()(explain)


def train(
    task: Task,
    variant: Annotated[
        str | None,
        typer.Option(
            help="DGUNet (shared stages) or DGUNet+ (independent)",
            show_default="DGUNet",
            autocompletion=completion.variants,
        ),
    ] = None,
    ratio: RatioOption = None,
    ablation: AblationOption = None,
    params_file: ParamsOption = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="prepared training set", show_default="that of the task in build/prepared"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="folder of the trained network", show_default="build/models/trained/NETWORK"
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="initial weights, e.g. of the first step for cs", show_default="random"),
    ] = None,
) -> None:
    """Train one network on its prepared training set.

    Writes network.safetensors, loss.csv and training.json. The settings are those of params.yaml;
    with `fast: true` there, the step is the fastest of the machine.

    A killed training resumes from its newest checkpoint when the same command is run again.

    Ablations, which modify DGUNet+ for deraining: stages-9 stages-7 stages-5 stages-3 scales-2
    scales-1 without-fgdm without-sp without-isff. stages-7 is DGUNet+ itself.

    Example: dgunet train derain

    Example: dgunet train cs --ratio 10 --variant DGUNet+

    Example: dgunet train derain --ablation stages-3

    Example: torchrun --no-python --nproc-per-node 2 dgunet train derain
    """
    from dgunet.config import load_params
    from dgunet.project import TRAINING_SETS, ProjectFolders, model_key
    from dgunet.steps.train import train_ablation, train_network
    from dgunet.system import environment
    from dgunet.terms import check_task

    # A container has no project folder, so options name all files.
    params = load_params(params_file or ProjectFolders.here().params)
    record = None if out else ProjectFolders.here().committed_curves(params.profile)
    store = store or ProjectFolders.here().store(TRAINING_SETS[check_task(task)])
    if ablation is not None:
        _refuse_beside_ablation(task, variant, ratio=ratio, start=start)
        out = out or ProjectFolders.here().ablation_network(ablation)
        weights = train_ablation(params, ablation, store=store, out=out, record=record)
    else:
        variant = variant or "DGUNet"
        out = out or ProjectFolders.here().model(model_key(task, variant, ratio))
        weights = train_network(
            params,
            task,
            variant=variant,
            ratio=ratio,
            store=store,
            out=out,
            start=start,
            record=record,
        )
    if environment.RANK.get() == "0":
        typer.echo(f"trained {ablation or model_key(task, variant or '', ratio)}: {weights}")


def _refuse_beside_ablation(task: str, variant: str | None, **given: object) -> None:
    """Refuse options that contradict ``--ablation`` or that it does not know."""
    from dgunet.system.errors import ConfigError
    from dgunet.terms import ABLATION_TASK, ABLATION_VARIANT

    if task != ABLATION_TASK or variant not in (None, ABLATION_VARIANT):
        raise ConfigError(
            f"--ablation with {task} {variant or ''}".rstrip() + ".",
            f"The ablations modify {ABLATION_VARIANT} for {ABLATION_TASK}.",
        )
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"--ablation together with --{name}.", "Leave one of them out.")


def evaluate(
    sets: Annotated[
        str | None,
        typer.Option(
            "--sets",
            help="test sets, separated by commas, or 'all' (with --checkpoint: all of its task)",
            show_default="all; Rain100H with --ablation",
            autocompletion=completion.test_sets,
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="DGUNet or DGUNet+",
            show_default="the checkpoint's, or DGUNet",
            autocompletion=completion.variants,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="weights to score", show_default="the project's weights"),
    ] = None,
    ratio: RatioOption = None,
    ablation: AblationOption = None,
    params_file: ParamsOption = None,
    stores: Annotated[
        Path | None,
        typer.Option(help="folder of the prepared sets", show_default="build/prepared"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder of the results", show_default="build/evaluation"),
    ] = None,
    memory: MemoryOption = None,
    scratch: ScratchOption = None,
    backend: BackendOption = EAGER,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="processes that share the images")
    ] = 1,
    part: PartOption = None,
) -> None:
    """Restore and score test sets, each under the protocol of its table column.

    A killed evaluation resumes where it stopped when the same command is run again. Missing
    test sets and weights are reported before the first image is restored.

    Parts may run at the same time, on machines that share DGUNET_HOME and the weights. The command
    without --part then writes the results; it scores what no part has scored.

    Ablations: stages-9 stages-7 stages-5 stages-3 scales-2 scales-1 without-fgdm without-sp
    without-isff. With `weights: released` in params.yaml only stages-7, the authors' DGUNet+.

    Example: dgunet evaluate --sets Rain100L,Rain100H

    Example: dgunet evaluate --ablation stages-3

    Example: dgunet evaluate --sets Rain100H --part 1/4

    Example: dgunet evaluate --checkpoint my.safetensors --out results
    """
    from dgunet.cli.runs_commands import print_comparison_links
    from dgunet.config import load_params
    from dgunet.evaluation.network_evaluation import EvaluationOptions
    from dgunet.project import ProjectFolders
    from dgunet.steps.evaluation_plan import plan_ablation, plan_evaluations
    from dgunet.system.errors import ConfigError
    from dgunet.terms import ABLATION_SET, ABLATION_TASK
    from dgunet.terms import ablation as known_ablation

    here = ProjectFolders.here()
    params = load_params(params_file or here.params)
    here = here.using(params.weights)
    options = EvaluationOptions(memory_bytes(memory), scratch, processes, backend=backend)
    places = {"checkpoint": checkpoint, "stores": stores, "out": out}
    if ablation is not None:
        _refuse_beside_ablation(ABLATION_TASK, variant, ratio=ratio)
        if sets not in (None, ABLATION_SET):
            raise ConfigError(
                f"--ablation with --sets {sets}.", f"The ablations are evaluated on {ABLATION_SET}."
            )
        wanted = [plan_ablation(ablation, here, **places)]
    else:
        wanted = plan_evaluations(sets or "all", here, variant=variant, ratio=ratio, **places)
    if part is not None:
        print_parts(params.evaluation, wanted, options, part)
        return
    record = None if out else here.committed_scores(params.profile)
    for each in wanted:
        for summary in _evaluated(params, each, options, record):
            typer.echo(summary.line())
    if ablation is not None:
        print_comparison_links(min(known_ablation(ablation).columns), "evaluate")


def _evaluated(
    params: Params, wanted: PlannedEvaluation, options: EvaluationOptions, record: Path | None
) -> list[EvaluationSummary]:
    """Carry out one planned evaluation."""
    from dgunet.steps.evaluate import evaluate_ablation, evaluate_test_set

    given: dict[str, Any] = {
        "store": wanted.store,
        "out": wanted.out,
        "options": options,
        "record": record,
    }
    if wanted.ablation:
        (weights,) = wanted.models.values()
        return [evaluate_ablation(params.evaluation, wanted.ablation, weights=weights, **given)]
    return evaluate_test_set(
        params.evaluation, wanted.dataset, variant=wanted.variant, models=wanted.models, **given
    )


def tables(params_file: ParamsOption = None) -> None:
    """Make Tables 1-6 from the available results; cells without a run are marked "not run".

    Writes CSV, Markdown, LaTeX and Parquet to build/tables, with the verdict on each of our cells
    (verdicts.csv) and the values without the test images that the training set has (twins.csv).

    Example: dgunet tables
    """
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders
    from dgunet.steps.result_folders import result_folders
    from dgunet.steps.tables import make_tables

    here = ProjectFolders.here()
    params = load_params(params_file or here.params)
    here = here.using(params.weights)
    results = result_folders(params, here)
    make_tables(
        params.profile,
        results=results,
        out=here.tables,
        records=here.records,
        overlaps=here.overlaps,
        project=here,
    )
    typer.echo(f"tables in {here.tables}")


def explain(
    table: Annotated[
        int,
        typer.Argument(
            min=1, max=6, help="number of the table", autocompletion=completion.table_numbers
        ),
    ],
    row: Annotated[str, typer.Argument(help="label of the row, e.g. 'DGUNet (reproduced)'")],
    column: Annotated[
        str, typer.Argument(help="label of the column and metric, e.g. 'Rain100H PSNR'")
    ],
    campaign: Annotated[
        str | None,
        typer.Option(help="a cell of `dgunet campaign --name`", show_default="of build/tables"),
    ] = None,
) -> None:
    """Show one table cell: value, verdict, tolerance, interval, run, commit, data, checkpoint.

    An unknown label is refused with the list of the valid ones. The first example is for the tables
    of `make reproduce`, the second for those of a campaign with the authors' weights.

    Example: dgunet explain 1 "DGUNet (sample, not comparable)" "Rain100L PSNR"

    Example: dgunet explain 4 "Set11 10%" "DGUNet (reproduced) PSNR" --campaign released
    """
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders
    from dgunet.steps.report import explain_text

    here = ProjectFolders.here()
    if campaign is None:
        params = load_params(here.params)
        here = here.using(params.weights)
    else:
        from dgunet.campaign.folder import open_campaign

        here, params = open_campaign(here, campaign)
    typer.echo(explain_text(here, params, table, row, column))
