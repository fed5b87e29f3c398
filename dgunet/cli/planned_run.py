"""The run that a command plans: its compiled pipeline and its arguments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dgunet.cli import completion
from dgunet.cli.clone_pipelines import pipelines_of_clone

if TYPE_CHECKING:
    from dgunet.kubeflow.cluster.settings import Cluster
    from dgunet.project import ProjectFolders

PipelineName = Annotated[
    str,
    typer.Argument(
        help="reproduce, train_evaluate, evaluate_checkpoint or ablations",
        autocompletion=completion.pipelines,
    ),
]
ParamsOption = Annotated[
    Path | None,
    typer.Option("--params", help="parameter file", show_default="the project's params.yaml"),
]
GivenParameters = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        metavar="NAME=VALUE",
        help="a parameter of the pipeline, e.g. weights=released; lists with commas or as JSON,"
        " NAME=@FILE reads a file",
    ),
]


def compiled(name: str, here: ProjectFolders, cluster: Cluster | None = None) -> str:
    """The YAML of the pipeline ``name`` of the clone, for ``cluster`` or for this machine."""
    from dgunet.kubeflow.pipeline.compiling import compile_pipeline, find_pipeline

    return compile_pipeline(find_pipeline(name, pipelines_of_clone(here.home)), cluster)


def arguments_of(
    text: str,
    here: ProjectFolders,
    params_file: Path | None,
    given: list[str] | None,
    *,
    on_cluster: bool,
    image_digest: str,
) -> dict[str, Any]:
    """The arguments of a run of the compiled pipeline ``text``."""
    from dgunet.kubeflow.pipeline.arguments import run_arguments
    from dgunet.kubeflow.pipeline.compiling import documents

    return run_arguments(
        documents(text)[0],
        params=_params(params_file or here.params),
        given=given or [],
        here=here,
        on_cluster=on_cluster,
        image_digest=image_digest,
    )


def _params(path: Path) -> str:
    from dgunet.config import load_params
    from dgunet.system.errors import ConfigError
    from dgunet.system.reading import read_text

    load_params(path)  # for its errors, which contain the name of the file
    return read_text(path, kind=ConfigError)
