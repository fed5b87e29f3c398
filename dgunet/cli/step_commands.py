"""Commands of the pipeline: train, evaluate, ablate, tables, report, explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion

if TYPE_CHECKING:
    from dgunet.evaluation.summary import EvaluationSummary

Task = Annotated[
    str, typer.Argument(help="derain, deblur, denoise or cs", autocompletion=completion.tasks)
]
VariantOption = Annotated[
    str,
    typer.Option(
        help="DGUNet (shared stages) or DGUNet+ (independent)", autocompletion=completion.variants
    ),
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
    app.command()(ablate)
    app.command()(tables)
    app.command()(report)
    app.command()(explain)


def train(
    task: Task,
    variant: VariantOption = "DGUNet",
    ratio: RatioOption = None,
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
    """Train one network of Tables 1-4 on its prepared training set.

    Writes network.safetensors, loss.csv and training.json. The settings are those of params.yaml.

    A killed training resumes from its newest checkpoint when the same command is run again.

    Example: dgunet train derain

    Example: dgunet train cs --ratio 10 --variant DGUNet+

    Example: torchrun --no-python --nproc-per-node 2 dgunet train derain
    """
    from dgunet.config import load_params
    from dgunet.project import TRAINING_SETS, ProjectFolders, model_key
    from dgunet.steps.train import train_network
    from dgunet.system import environment
    from dgunet.terms import check_task

    # A container has no project folder, so options name all files.
    params = load_params(params_file or ProjectFolders.here().params)
    weights = train_network(
        params,
        task,
        variant=variant,
        ratio=ratio,
        store=store or ProjectFolders.here().store(TRAINING_SETS[check_task(task)]),
        out=out or ProjectFolders.here().model(model_key(task, variant, ratio)),
        start=start,
    )
    if environment.RANK.get() == "0":
        typer.echo(f"trained {model_key(task, variant, ratio)}: {weights}")


def evaluate(
    sets: Annotated[
        str,
        typer.Option(
            "--sets",
            help="test sets, separated by commas, or 'all' (with --checkpoint: all of its task)",
            autocompletion=completion.test_sets,
        ),
    ] = "all",
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
    params_file: ParamsOption = None,
    stores: Annotated[
        Path | None,
        typer.Option(help="folder of the prepared sets", show_default="build/prepared"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder of the results", show_default="build/evaluation"),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=65_536,
            help="restore in tiles of this side; the results then fill no cell of a table",
        ),
    ] = None,
    fallback_tile: Annotated[
        int,
        typer.Option(
            min=0,
            max=65_536,
            help="tile side (64 or more) for an image that does not fit into memory whole;"
            " 0: refuse it",
        ),
    ] = 512,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="processes that share the images")
    ] = 1,
) -> None:
    """Restore and score test sets, each under the protocol of its table column.

    A killed evaluation resumes where it stopped when the same command is run again. Missing
    test sets and weights are reported before the first image is restored.

    Example: dgunet evaluate --sets Rain100L,Rain100H

    Example: dgunet evaluate --checkpoint my.safetensors --out results
    """
    from dgunet.config import load_params
    from dgunet.evaluation.network_evaluation import EvaluationOptions
    from dgunet.project import ProjectFolders
    from dgunet.steps.evaluate import evaluate_test_set
    from dgunet.steps.evaluation_plan import plan_evaluations
    from dgunet.system.errors import ConfigError

    if 0 < fallback_tile < 64:
        raise ConfigError(f"--fallback-tile is {fallback_tile}.", "Give 64 or more, or 0.")
    here = ProjectFolders.here()
    params = load_params(params_file or here.params)
    here = here.using(params.weights)
    options = EvaluationOptions(tile=tile, fallback_tile=fallback_tile or None, processes=processes)
    wanted = plan_evaluations(
        sets, here, variant=variant, checkpoint=checkpoint, ratio=ratio, stores=stores, out=out
    )
    for each in wanted:
        for summary in evaluate_test_set(
            params,
            each.dataset,
            variant=each.variant,
            models=each.models,
            store=each.store,
            out=each.out,
            options=options,
        ):
            typer.echo(summary.line())


def ablate(
    name: Annotated[
        str,
        typer.Argument(
            help="one of the names above, e.g. stages-9", autocompletion=completion.ablations
        ),
    ],
    params_file: ParamsOption = None,
) -> None:
    """Train and score one variant of Tables 5 and 6 (Rain100H).

    Names: stages-9 stages-7 stages-5 stages-3 scales-2 scales-1 without-fgdm without-sp
    without-isff. stages-7 is the unmodified DGUNet+ of both tables. With `weights: released` in
    params.yaml it is scored with the authors' DGUNet+; they published no weights of the others.

    Example: dgunet ablate stages-3
    """
    from dgunet.cli.runs_commands import print_comparison_links
    from dgunet.config import load_params
    from dgunet.project import TRAINING_SETS, ProjectFolders
    from dgunet.steps.ablate import released_plus, run_ablation, score_released_ablation
    from dgunet.terms import ABLATION_SET, ablation

    here = ProjectFolders.here()
    params = load_params(params_file or here.params)
    here = here.using(params.weights)
    summary: EvaluationSummary | None
    if params.weights == "released":
        summary = score_released_ablation(
            params,
            name,
            weights=released_plus(here),
            test_store=here.store(ABLATION_SET),
            out=here.ablation(name),
        )
    else:
        summary = run_ablation(
            params,
            name,
            train_store=here.store(TRAINING_SETS["derain"]),
            test_store=here.store(ABLATION_SET),
            out=here.ablation(name),
        )
    if summary is not None:
        typer.echo(summary.line())
        print_comparison_links(ablation(name).table, "ablate")


def tables(params_file: ParamsOption = None) -> None:
    """Make Tables 1-6 from the available results; cells without a run are marked "not run".

    Writes CSV, Markdown, LaTeX and Parquet to build/tables, with the verdict on each of our cells
    (verdicts.csv) and the values without the test images that the training set has (twins.csv).

    Example: dgunet tables
    """
    from dgunet.config import load_params
    from dgunet.project import ProjectFolders
    from dgunet.steps.report import result_folders
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


def report() -> None:
    """Write the HTML report; print where the tables, the report and the runs are.

    The report, build/report.html, shows the tables with links from each cell to its run.

    Example: dgunet report
    """
    from dgunet.project import ProjectFolders
    from dgunet.steps.report import write_project_report

    typer.echo(write_project_report(ProjectFolders.here()))


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
