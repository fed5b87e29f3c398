"""Commands for Kubeflow pipelines: compile, run on this machine, submit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dgunet.cli.consent import AcceptLicence, accept_for_steps
from dgunet.cli.cost_options import (
    CalibrationOption,
    CurrencyOption,
    GpuOption,
    PriceOption,
    QuotaOption,
    TflopsOption,
)
from dgunet.cli.pipeline_doctor_command import NAMESPACE, check_before, doctor
from dgunet.cli.pipeline_plan import PlanOptions, print_plan
from dgunet.cli.pipeline_run_commands import add_run_commands
from dgunet.cli.planned_run import (
    GivenParameters,
    ParamsOption,
    PipelineName,
    arguments_of,
    compiled,
)
from dgunet.cli.server_connection import Connection, with_connection

if TYPE_CHECKING:
    from dgunet.kubeflow.cluster.settings import Cluster

pipeline = typer.Typer(
    name="pipeline",
    help="Kubeflow: compile a pipeline, run it on this machine, submit it to a cluster, follow it."
    "\n\nExample: dgunet pipeline run reproduce",
    no_args_is_help=True,
)

ClusterOption = Annotated[
    Path | None,
    typer.Option("--cluster", help="cluster file, an adapted copy of pipelines/cluster.yaml"),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    add_run_commands(pipeline)
    pipeline.command()(doctor)
    app.add_typer(pipeline)


@pipeline.command("compile")
def compile_(
    name: PipelineName,
    cluster: ClusterOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="file to write", show_default="build/pipelines/NAME.yaml"),
    ] = None,
) -> None:
    """Compile a pipeline to a YAML file, the intermediate representation that Kubeflow reads.

    Example: dgunet pipeline compile reproduce --cluster my-cluster.yaml
    """
    from dgunet.kubeflow.pipeline.compiling import version_name
    from dgunet.project import ProjectFolders
    from dgunet.system.files import write_text

    here = ProjectFolders.here()
    text = compiled(name, here, _cluster(cluster) if cluster else None)
    target = out or here.home / "build" / "pipelines" / f"{name}.yaml"
    write_text(target, text)
    typer.echo(f"{target}  (version {version_name(text)})")


@pipeline.command()
def versions() -> None:
    """Print the versions of the code, the protocols and the image that runs are pinned to.

    A step of a run refuses to start with other versions.

    Example: dgunet pipeline versions
    """
    from dgunet.kubeflow.steps.code_pins import image_digest, protocol_versions
    from dgunet.system.package_digest import code_version

    typer.echo(f"code_version  {code_version()}")
    typer.echo(f"protocols     {protocol_versions()}")
    typer.echo(f"image_digest  {image_digest() or '(not in a container of a run)'}")


@pipeline.command()
def run(
    name: PipelineName,
    given: GivenParameters = None,
    params_file: ParamsOption = None,
    docker: Annotated[
        bool, typer.Option("--docker", help="run every step in a container without a network")
    ] = False,
    image: Annotated[str, typer.Option(help="image of the containers")] = "dgunet:local",
    network: Annotated[
        str, typer.Option(help="network of the containers: none, host or bridge")
    ] = "none",
    gpus: Annotated[bool, typer.Option("--gpus", help="give the containers all GPUs")] = False,
    accept_licence: AcceptLicence = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="print the whole log of the steps")
    ] = False,
) -> None:
    """Run a pipeline on this machine, by default with all of the paper's networks and test sets.

    The data are in data/<profile>, the networks are those of params.yaml. With -p weights=released
    (or `weights: released` in params.yaml) reproduce downloads the authors' weights instead of
    training: their terms are shown, and you are asked once. Ctrl-C ends all steps and containers.
    `dgunet pipeline status` lists the runs of this machine.

    Example: dgunet pipeline run reproduce

    Example: dgunet pipeline run reproduce -p weights=released --accept-licence

    Example: dgunet pipeline run evaluate_checkpoint -p task=derain -p test_sets=Rain100L,Test100

    Example: dgunet pipeline run train_evaluate -p task=cs -p ratio=10 --docker --image dgunet:local
    """
    from dgunet.kubeflow.local import containers, running
    from dgunet.kubeflow.local.expected_outputs import expected_results
    from dgunet.kubeflow.pipeline.weights_origin import weights_plans
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import ConfigError
    from dgunet.tracking import TrackingFolders

    if network not in ("none", "host", "bridge"):
        raise ConfigError(f"--network {network!r}.", "Networks are: none, host, bridge.")
    here = ProjectFolders.here()
    text = compiled(name, here)
    digest = containers.image_id(containers.docker_engine(), image) if docker else ""
    arguments = arguments_of(text, here, params_file, given, on_cluster=False, image_digest=digest)
    options = running.ContainerOptions(image, network, gpus) if docker else None
    planned = running.LocalRun(
        name, text, arguments, expected_results(arguments), here.home, options
    )
    accept_for_steps(weights_plans(arguments), here.home, accept=accept_licence)
    record = running.run_locally(planned, progress=typer.echo, verbose=verbose)
    typer.echo(
        f"{record.run_id}: {record.state} in {record.seconds:.0f} s, "
        f"{len(planned.expected)} results\n"
        f"tables   {record.found['tables']}\n"
        f"report   {record.found['report']}\n"
        f"runs     {TrackingFolders.at(here.home).uri}, campaign {record.run_id}"
    )


@pipeline.command()
def plan(
    name: PipelineName,
    cluster: Annotated[
        Path, typer.Option("--cluster", help="an adapted copy of pipelines/cluster.yaml")
    ],
    given: GivenParameters = None,
    params_file: ParamsOption = None,
    gpu: GpuOption = None,
    tflops: TflopsOption = None,
    calibration: CalibrationOption = None,
    quota: QuotaOption = None,
    price: PriceOption = None,
    currency: CurrencyOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object")] = False,
) -> None:
    """Print what a run on a cluster takes: pods, GPU-hours, wall time, storage, money.

    Nothing is sent. The rates of the named GPUs are measured or assumed, as each line says;
    `dgunet calibrate` measures those of your own.

    Example: dgunet pipeline plan reproduce --cluster my-cluster.yaml --gpu A100 --quota 16

    Example: dgunet pipeline plan reproduce --cluster my-cluster.yaml --calibration machine.json
    --price 2.50 --currency EUR --json
    """
    from dgunet.project import ProjectFolders

    here, settings = ProjectFolders.here(), _cluster(cluster)
    text = compiled(name, here, settings)
    arguments = arguments_of(
        text, here, params_file, given, on_cluster=True, image_digest=settings.digest
    )
    options = PlanOptions(gpu, tflops, calibration, quota, price, currency, as_json)
    print_plan(text, settings, arguments, options)


@pipeline.command()
@with_connection
def submit(  # one parameter for each option
    name: PipelineName,
    cluster: Annotated[
        Path, typer.Option("--cluster", help="an adapted copy of pipelines/cluster.yaml")
    ],
    connection: Connection,
    given: GivenParameters = None,
    params_file: ParamsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the plan without any network access")
    ] = False,
    gpu: GpuOption = None,
    tflops: TflopsOption = None,
    quota: QuotaOption = None,
    skip_checks: Annotated[
        bool, typer.Option("--skip-checks", help="do not check the cluster with your kubeconfig")
    ] = False,
    experiment: Annotated[
        str, typer.Option(help="experiment of the run; created if it does not exist")
    ] = "dgunet",
    run_name: Annotated[
        str | None,
        typer.Option("--name", help="name of the run", show_default="pipeline, profile and commit"),
    ] = None,
    pipeline_name: Annotated[
        str | None,
        typer.Option(
            help="name of the pipeline on the server",
            show_default="the name in the pipeline, dgunet-...",
        ),
    ] = None,
) -> None:
    """Start a run on a cluster; equal content gives the same pipeline version on the server.

    The checks of `dgunet pipeline doctor` run first, if you have a kubeconfig.
    The pods read the data at the pushed HEAD commit, so a changed data.dvc is refused. The
    credentials are a token, a cookie or, inside a cluster, the pod's service account. No option
    takes the secret itself, because it would remain in the shell's history. With -p
    weights=released the pods of reproduce download the authors' weights instead of training;
    DGUNET_ACCEPT_LICENCE in the cluster file's environment accepts their terms.

    Example: dgunet pipeline submit reproduce --cluster my-cluster.yaml --dry-run

    Example: dgunet pipeline submit reproduce --cluster my-cluster.yaml
    --host https://kubeflow.example.org/pipeline --namespace team --token-file token
    """
    from dgunet.kubeflow.pipeline.compiling import documents
    from dgunet.kubeflow.pipeline.weights_origin import weights_plans
    from dgunet.kubeflow.submission.data_origin import check_pushed
    from dgunet.kubeflow.submission.submitting import check_consent, check_image, submit_run
    from dgunet.project import ProjectFolders

    here = ProjectFolders.here()
    settings = _cluster(cluster)
    text = compiled(name, here, settings)
    arguments = arguments_of(
        text, here, params_file, given, on_cluster=True, image_digest=settings.digest
    )
    if dry_run:
        print_plan(text, settings, arguments, PlanOptions(gpu, tflops, quota=quota))
        typer.echo("\ndry run: nothing was sent")
        return
    check_image(settings)
    check_consent(settings, weights_plans(arguments))
    _check_space(settings, arguments, connection.namespace or NAMESPACE)
    if not skip_checks:
        run = (documents(text)[0], arguments)
        check_before(settings, connection.namespace or NAMESPACE, here.home, run)
    server = connection.server()
    if not any(entry.startswith("data_source=") for entry in given or []):
        check_pushed(here.home)
    submitted = submit_run(
        server,
        text,
        arguments,
        pipeline=pipeline_name or documents(text)[0]["pipelineInfo"]["name"],
        run_name=run_name or _run_name(name, arguments),
        cluster=settings,
        experiment=experiment,
    )
    typer.echo(submitted.summary())


def _cluster(path: Path) -> Cluster:
    from dgunet.kubeflow.cluster.settings import load_cluster

    return load_cluster(path)


def _check_space(cluster: Cluster, arguments: dict[str, Any], namespace: str) -> None:
    """Refuse a run whose prepared stores do not fit; warn if that cannot be found out."""
    from dgunet.kubeflow.submission.claims import claim_size
    from dgunet.kubeflow.submission.space import check_space, space_warning, stores_space

    space = stores_space(cluster, arguments, partial(claim_size, namespace))
    check_space(space)
    if warning := space_warning(space):
        typer.echo(warning, err=True)


def _run_name(name: str, arguments: dict[str, Any]) -> str:
    from dgunet.config import parse_params

    profile = parse_params(arguments["params"]).profile
    return f"{name} {profile} {str(arguments['data_version'])[:12]}"
