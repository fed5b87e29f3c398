"""Commands that add a dataset to the project: ``dgunet data import | fetch | sources``.

The signature of a command lists all of its options, which makes some functions long.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion
from dgunet.cli.consent import AcceptLicence, fetch_stated, split_names
from dgunet.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from dgunet.data.acquisition.fetching import FetchResult

DatasetName = Annotated[
    str,
    typer.Argument(
        help="a dataset of `dgunet data list`, e.g. Rain100H", autocompletion=completion.datasets
    ),
]
TreesRoot = Annotated[
    Path | None,
    typer.Option(help="folder of the official trees", show_default="data/paper"),
]


def import_archive(
    name: DatasetName,
    source: Annotated[Path, typer.Argument(help="a zip or tar archive, or a folder")],
    part: Annotated[
        bool, typer.Option("--part", help="accept a folder that has only some of the pairs")
    ] = False,
    root: TreesRoot = None,
) -> None:
    """Import a dataset, found at any depth of an archive or a folder.

    Every image must have its counterpart of the same size. The dataset appears under --root when it
    is complete.

    Example: dgunet data import Rain100H ~/Downloads/Rain100H.zip

    Example: dgunet data import Rain13K ~/a-few-rainy-images --part
    """
    from dgunet.data.acquisition.importing import import_dataset
    from dgunet.project import ProjectFolders

    imported = import_dataset(name, source, root or ProjectFolders.here().data("paper"), part=part)
    for line in (imported.line(), *imported.remarks()):
        typer.echo(line)


def fetch(
    name: DatasetName,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL... | NAME...]",
            help="mirrors of one archive: http(s), s3 or file addresses, or paths; or further"
            " datasets",
            show_default="the stated places of the dataset",
        ),
    ] = None,
    accept_licence: AcceptLicence = False,
    sha256: Annotated[
        str, typer.Option(help="SHA-256 of the archive; another archive is refused")
    ] = "",
    single: Annotated[
        bool,
        typer.Option("--files", help="the URLs are the dataset's files, not mirrors of an archive"),
    ] = False,
    dvc: Annotated[
        str, typer.Option(metavar="REPO", help="git repository with DVC, instead of URLs")
    ] = "",
    rev: Annotated[str, typer.Option(help="with --dvc: commit, tag or branch")] = "",
    dvc_folder: Annotated[
        str, typer.Option(help="with --dvc: the folder of REPO that contains train/ and test/")
    ] = "data/paper",
    root: TreesRoot = None,
    downloads: Annotated[
        Path | None,
        typer.Option(
            help="folder for the archive during the download", show_default="build/downloads"
        ),
    ] = None,
) -> None:
    """Download a dataset, verify it and import it; an interrupted download can be continued.

    Without a URL it comes from the first of its stated places (`dgunet data sources NAME`) that has
    it. What will come is shown first, with the licence, and you are asked once for consent;
    --accept-licence or DGUNET_ACCEPT_LICENCE replace the question. Several datasets may be named;
    an archive that several of them share is downloaded once. A path that is also the name of a
    dataset is written as ./NAME.

    With URLs, the mirrors are tried in turn. Without --sha256, if the catalogue has the digest of a
    release, only that release is accepted. For s3 addresses, AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY are the credentials, and AWS_ENDPOINT_URL is the server.

    With --dvc the dataset comes from the DVC remote of a repository at --rev, and is verified with
    the .dvc file of that revision.

    Example: dgunet data fetch Set11 BSD68

    Example: dgunet data fetch Rain100H --accept-licence

    Example: dgunet data fetch Rain100H https://a.example.org/Rain100H.zip s3://mirror/Rain100H.zip

    Example: dgunet data fetch SIDD --files https://a.example.org/ValidationNoisyBlocksSrgb.mat
    https://a.example.org/ValidationGtBlocksSrgb.mat#sha256=...

    Example: dgunet data fetch GoPro --dvc https://git.example.org/derain.git --rev v1.2
    """
    from dgunet.project import ProjectFolders
    from dgunet.system.errors import ConfigError
    from dgunet.tools.dvc_fetch import fetch_from_dvc

    if (sources and dvc) or bool(dvc) != bool(rev) or (single and not sources):
        raise ConfigError(
            "the source is ambiguous or incomplete.",
            "Give URLs, or --dvc REPO with --rev REV, or neither for the stated places; --files"
            " needs URLs.",
        )
    names = split_names(name, sources or [])
    here = ProjectFolders.here()
    root = root or here.data("paper")
    if names and not dvc:
        if sha256:
            raise ConfigError("--sha256 needs the URL of the archive.", "Give the URL.")
        folder = downloads or here.home / "build" / "downloads"
        fetch_stated(names, root, folder, accept=accept_licence)
        return
    if dvc:
        with progress_bar(name, " files") as observe:
            fetched = fetch_from_dvc(name, dvc, rev, root, folder=dvc_folder, observe=observe)
    else:
        downloads = downloads or here.home / "build" / "downloads"
        fetched = _download(name, sources or [], root, downloads, sha256, single=single)
    for line in fetched.lines():
        typer.echo(line)


def _download(
    name: str, sources: list[str], root: Path, downloads: Path, sha256: str, *, single: bool
) -> FetchResult:
    from dgunet.data.acquisition.fetching import fetch_dataset
    from dgunet.data.acquisition.loose_files import fetch_files

    with progress_bar(name, "B") as observe:
        if single:
            return fetch_files(name, sources, root, downloads, observe=observe)
        return fetch_dataset(
            name,
            sources,
            root,
            downloads,
            sha256=sha256,
            observe=observe,
            refused=lambda line: typer.echo(f"refused: {line}", err=True),
        )


def sources_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="datasets or weights to show",
            show_default="all",
            autocompletion=completion.datasets,
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="print the page docs/sources.md instead")
    ] = False,
) -> None:
    """Show where datasets and weights are said to be, who says so, sizes, digests and licences.

    The places were collected from READMEs and download scripts; nobody here saw them alive.

    Example: dgunet data sources Rain100H

    Example: dgunet data sources --markdown > docs/sources.md
    """
    from dgunet.tools.source_list import source_lines, sources_markdown

    if markdown:
        typer.echo(sources_markdown(), nl=False)
        return
    for line in source_lines(names or []):
        typer.echo(line)
