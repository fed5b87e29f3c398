"""``dgunet bundle``: results as one sealed folder or zip file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command("bundle")(bundle)


def bundle(
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER_OR_ZIP", help="a new folder, or a new file ending in .zip"),
    ],
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="folders of evaluations", show_default="those of `dgunet tables`"),
    ] = None,
    with_weights: Annotated[
        bool,
        typer.Option("--with-weights", help="include the weights, else named by their SHA-256"),
    ] = False,
    sign: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="sign with this Ed25519 private key, a PEM file"),
    ] = None,
) -> None:
    """Write results as one sealed bundle that anybody can verify, without this package too.

    It has the scores of single images, the tables, the claims with their verdicts, settings, lock
    files, manifests and versions, as an RO-Crate, but no images. `python verify.py` in the bundle
    hashes every file and computes every mean and cell again with Python alone; `dgunet verify
    BUNDLE` does more.

    Example: dgunet bundle --out results.zip

    Example: dgunet bundle build/evaluation --out evaluations --sign key.pem
    """
    from dgunet.project import ProjectFolders
    from dgunet.tools.bundles.project_bundle import bundle_project

    made = bundle_project(
        ProjectFolders.here(), out, results or (), with_weights=with_weights, key=sign
    )
    signed = "signed" if sign else "not signed"
    typer.echo(
        f"{out}: {made.evaluations} evaluations of {made.images} images, {made.profile}, {signed}"
    )
    typer.echo(f"verify it with `dgunet verify {out}`, or with verify.py inside it")
