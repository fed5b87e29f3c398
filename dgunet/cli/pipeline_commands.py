"""Verbs of Kubeflow pipelines: compile, run here, submit, watch, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dgunet.kubeflow.cluster.settings import Cluster
    from dgunet.kubeflow.submission.server import Server

pipeline = typer.Typer(
    name="pipeline",
    help="Kubeflow: compile a pipeline, run it on this machine, submit it to a cluster, watch it.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(help="reproduce, train_evaluate, evaluate_checkpoint or ablations")
]
ClusterOption = Annotated[
    Path | None,
    typer.Option("--cluster", help="cluster file, a filled-in copy of pipelines/cluster.yaml"),
]
ParamsOption = Annotated[
    Path | None,
    typer.Option("--params", help="parameter file [default: the project's params.yaml]"),
]
Asked = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        metavar="NAME=VALUE",
        help="a parameter of the pipeline; lists with commas or as JSON, NAME=@FILE reads a file",
    ),
]
RunId = Annotated[str, typer.Argument(help="the run's id")]
Host = Annotated[
    str | None,
    typer.Option(help="the pipelines API, e.g. https://kubeflow.example.org/pipeline"),
]
Namespace = Annotated[str, typer.Option(help="your profile on a server for several users")]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="file with a bearer token [default: the variable DGUNET_KFP_TOKEN]"),
]
CookieFile = Annotated[
    Path | None,
    typer.Option(help="file with a session cookie [default: the variable DGUNET_KFP_COOKIE]"),
]
CaFile = Annotated[
    Path | None,
    typer.Option(help="certificates of the server's own authority"),
]
Timeout = Annotated[
    int, typer.Option(min=1, max=3_600, help="seconds that the server may take to answer")
]


def register(app: typer.Typer) -> None:
    """Add this module's verbs to ``app``."""
    app.add_typer(pipeline)


@pipeline.command("compile")
def compile_(
    name: Name,
    cluster: ClusterOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="file to write [default: build/pipelines/NAME.yaml]"),
    ] = None,
) -> None:
    """Write what Kubeflow reads: the pipeline's IR as YAML.

    Example: dgunet pipeline compile reproduce --cluster my-cluster.yaml
    """
    from dgunet.kubeflow.pipeline.compiling import compile_pipeline, version_name
    from dgunet.project import ProjectFolders
    from dgunet.system.files import write_text

    here = ProjectFolders.here()
    text = compile_pipeline(name, here.home, _cluster(cluster) if cluster else None)
    target = out or here.home / "build" / "pipelines" / f"{name}.yaml"
    write_text(target, text)
    typer.echo(f"{target}  (version {version_name(text)})")


@pipeline.command()
def versions() -> None:
    """Print what a run is pinned to: a step with other code or other protocols refuses to work.

    Example: dgunet pipeline versions
    """
    from dgunet.kubeflow.steps.code_pins import code_version, image_digest, protocol_versions

    typer.echo(f"code_version  {code_version()}")
    typer.echo(f"protocols     {protocol_versions()}")
    typer.echo(f"image_digest  {image_digest() or '(not in a container of a run)'}")


@pipeline.command()
def run(
    name: Name,
    asked: Asked = None,
    params_file: ParamsOption = None,
    docker: Annotated[
        bool, typer.Option("--docker", help="every step in a container, without a network")
    ] = False,
    image: Annotated[str, typer.Option(help="image of the containers")] = "dgunet:local",
    network: Annotated[str, typer.Option(help="of the containers: none, host or bridge")] = "none",
    gpus: Annotated[bool, typer.Option("--gpus", help="hand the GPUs on to containers")] = False,
    whole: Annotated[
        bool, typer.Option("--verbose", help="print the steps' whole log as it comes")
    ] = False,
) -> None:
    """Run a pipeline on this machine: by default everything that the paper's tables need.

    The data are those of data/<profile>, the networks those that params.yaml names. Ctrl-C ends
    all steps and containers. `dgunet pipeline status` lists the runs made here.

    Example: dgunet pipeline run reproduce
    Example: dgunet pipeline run evaluate_checkpoint -p task=derain -p test_sets=Rain100L,Test100
    Example: dgunet pipeline run train_evaluate -p task=cs -p ratio=10 --docker --image dgunet:local
    """
    from dgunet.kubeflow.local import containers, running
    from dgunet.kubeflow.local.expected_outputs import wanted_results
    from dgunet.kubeflow.pipeline.arguments import run_arguments
    from dgunet.kubeflow.pipeline.compiling import compile_pipeline, documents
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import ConfigError
    from dgunet.tracking import TrackingFolders

    if network not in ("none", "host", "bridge"):
        raise ConfigError(f"--network {network!r}.", "Networks are: none, host, bridge.")
    here = ProjectFolders.here()
    text = compile_pipeline(name, here.home)
    arguments = run_arguments(
        documents(text)[0],
        params=_params(params_file or here.params),
        asked=asked or [],
        here=here,
        on_cluster=False,
        image_digest=containers.image_id(containers.engine(), image) if docker else "",
    )
    within = running.Containers(image, network, gpus) if docker else None
    job = running.Job(name, text, arguments, wanted_results(arguments), here.home, within)
    record = running.run(job, observe=typer.echo, whole=whole)
    typer.echo(
        f"{record.run_id}: {record.state} in {record.seconds:.0f} s, {len(job.wanted)} results\n"
        f"tables   {record.found['tables']}\n"
        f"report   {record.found['report']}\n"
        f"runs     {TrackingFolders.at(here.home).uri}, campaign {record.run_id}"
    )


@pipeline.command()
def submit(
    name: Name,
    cluster: Annotated[
        Path, typer.Option("--cluster", help="a filled-in copy of pipelines/cluster.yaml")
    ],
    host: Host = None,
    asked: Asked = None,
    params_file: ParamsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the plan; ask nobody, change nothing")
    ] = False,
    tflops: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1e6, help="TFLOP/s that a GPU sustains, for the plan's GPU-hours"
        ),
    ] = None,
    experiment: Annotated[str, typer.Option(help="made if it is not there")] = "dgunet",
    run_name: Annotated[
        str | None,
        typer.Option("--name", help="of the run [default: pipeline, profile and commit]"),
    ] = None,
    pipeline_name: Annotated[
        str | None,
        typer.Option(help="of the pipeline on the server [default: its own, dgunet-...]"),
    ] = None,
    namespace: Namespace = "",
    token_file: TokenFile = None,
    cookie_file: CookieFile = None,
    ca_file: CaFile = None,
    timeout: Timeout = 60,
) -> None:
    """Start a run on a cluster; the same content becomes the same pipeline version there.

    The pods read the data at the pushed HEAD commit, so a changed data.dvc is refused. The way in
    is the token or cookie, or inside a cluster the pod's own service account; never an option, so
    that no secret lands in a shell's history.

    Example: dgunet pipeline submit reproduce --cluster my-cluster.yaml --dry-run
    Example: dgunet pipeline submit reproduce --cluster my-cluster.yaml
    --host https://kubeflow.example.org/pipeline --namespace team --token-file token
    """
    from dgunet.kubeflow.pipeline.arguments import run_arguments
    from dgunet.kubeflow.pipeline.compiling import compile_pipeline, documents, version_name
    from dgunet.kubeflow.submission.data_origin import check_pushed
    from dgunet.kubeflow.submission.plan import plan
    from dgunet.kubeflow.submission.submitting import check_image
    from dgunet.kubeflow.submission.submitting import submit as send
    from dgunet.project import ProjectFolders

    here = ProjectFolders.here()
    settings = _cluster(cluster)
    text = compile_pipeline(name, here.home, settings)
    document, pod_logs = documents(text)
    arguments = run_arguments(
        document,
        params=_params(params_file or here.params),
        asked=asked or [],
        here=here,
        on_cluster=True,
        image_digest=settings.digest,
    )
    if dry_run:
        version = version_name(text)
        typer.echo(plan(document, pod_logs, arguments, version=version, tflops=tflops))
        typer.echo("\nnothing was sent and nobody was asked")
        return
    check_image(settings)
    server = _server(host, namespace, token_file, cookie_file, ca_file, timeout)
    if not any(entry.startswith("data_source=") for entry in asked or []):
        check_pushed(here.home)
    own = document["pipelineInfo"]["name"]
    done = send(
        server,
        text,
        arguments,
        pipeline=pipeline_name or own,
        run_name=run_name or _run_name(name, arguments),
        cluster=settings,
        experiment=experiment,
    )
    uploaded = "uploaded" if done.uploaded else "there already"
    typer.echo(
        f"version  {done.version} of {pipeline_name or own}, {uploaded}\n"
        f"run      {done.run_id}, experiment {done.experiment}\n"
        f"url      {done.url}\n"
        f"watch    dgunet pipeline status {done.run_id}"
    )


@pipeline.command()
def status(
    run_id: Annotated[
        str | None,
        typer.Argument(help="the run's id; without one: the last runs on this machine"),
    ] = None,
    host: Host = None,
    namespace: Namespace = "",
    token_file: TokenFile = None,
    cookie_file: CookieFile = None,
    ca_file: CaFile = None,
    timeout: Timeout = 60,
) -> None:
    """Say how a run is going, task by task; without an id list the last runs on this machine.

    Example: dgunet pipeline status
    Example: dgunet pipeline status 0b1c2d3e-... --host https://kubeflow.example.org/pipeline
    """
    from dgunet.kubeflow import run_records
    from dgunet.project import ProjectFolders

    if run_id is None:
        found = run_records.last(ProjectFolders.here().home, 10)
        typer.echo("\n".join(map(run_records.line, found)) or "no run was made on this machine yet")
    elif run_records.is_local(run_id):
        typer.echo(run_records.status_text(ProjectFolders.here().home, run_id))
    else:
        from dgunet.kubeflow.submission.run_status import status_text

        server = _server(host, namespace, token_file, cookie_file, ca_file, timeout)
        typer.echo(status_text(server, run_id))


@pipeline.command()
def logs(
    run_id: RunId,
    step: Annotated[
        str | None,
        typer.Option(help="only this step, e.g. train"),
    ] = None,
    host: Host = None,
    namespace: Namespace = "",
    context: Annotated[
        str | None,
        typer.Option(help="of the kubeconfig [default: the current one]"),
    ] = None,
    token_file: TokenFile = None,
    cookie_file: CookieFile = None,
    ca_file: CaFile = None,
    timeout: Timeout = 60,
) -> None:
    """Print a run's logs: of its pods, where a kubeconfig leads to them.

    The pipelines API keeps no logs; without a kubeconfig the error messages that it has are shown.

    Example: dgunet pipeline logs 0b1c2d3e-... --step train --namespace team
    """
    from dgunet.kubeflow import run_records
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import ConfigError

    if run_records.is_local(run_id):
        home = ProjectFolders.here().home
        if step is not None:
            raise ConfigError("the steps of a local run share one log.", "Leave --step out.")
        run_records.read(home, run_id)
        log = run_records.folder(home, run_id) / "log.txt"
        typer.echo("\n".join(run_records.log_lines(log)) or "nothing yet")
        return
    from dgunet.kubeflow.submission import pod_logs
    from dgunet.kubeflow.submission.run_status import errors_text

    try:
        api = pod_logs.connect(context)
    except pod_logs.NoClusterError as error:
        typer.echo(f"{error} What the pipelines API knows:", err=True)
        server = _server(host, namespace, token_file, cookie_file, ca_file, timeout)
        typer.echo(errors_text(server, run_id, step))
        return
    for line in pod_logs.logs(api, namespace or "kubeflow", run_id, step, timeout=timeout):
        typer.echo(line)


@pipeline.command()
def cancel(
    run_id: RunId,
    host: Host = None,
    namespace: Namespace = "",
    token_file: TokenFile = None,
    cookie_file: CookieFile = None,
    ca_file: CaFile = None,
    timeout: Timeout = 60,
) -> None:
    """End a run, on a cluster or on this machine.

    Example: dgunet pipeline cancel 0b1c2d3e-... --host https://kubeflow.example.org/pipeline
    """
    from dgunet.kubeflow import run_records
    from dgunet.project import ProjectFolders

    if run_records.is_local(run_id):
        typer.echo(run_records.cancel(ProjectFolders.here().home, run_id))
        return
    from dgunet.kubeflow.submission.run_status import cancel as end

    server = _server(host, namespace, token_file, cookie_file, ca_file, timeout)
    typer.echo(end(server, run_id))


def _server(
    host: str | None,
    namespace: str,
    token_file: Path | None,
    cookie_file: Path | None,
    ca_file: Path | None,
    timeout: int,
) -> Server:
    from dgunet.kubeflow.submission.server import Server, find_access

    access = find_access(
        host,
        namespace=namespace,
        timeout=timeout,
        token_file=token_file,
        cookie_file=cookie_file,
        ca_file=ca_file,
    )
    return Server(access)


def _cluster(path: Path) -> Cluster:
    from dgunet.kubeflow.cluster.settings import load_cluster

    return load_cluster(path)


def _params(path: Path) -> str:
    from dgunet.config import load_params
    from dgunet.system.errors import ConfigError
    from dgunet.system.reading import read_text

    load_params(path)  # says what is wrong, with the file's name
    return read_text(path, kind=ConfigError)


def _run_name(name: str, arguments: dict[str, Any]) -> str:
    from dgunet.config import parse_params

    profile = parse_params(arguments["params"]).profile
    return f"{name} {profile} {str(arguments['data_version'])[:12]}"
