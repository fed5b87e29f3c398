"""The command `dgunet score`: other people's results, under a protocol or every convention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dgunet.cli import completion

if TYPE_CHECKING:
    from dgunet.evaluation.explanation import Expected, Explanation
    from dgunet.evaluation.result_pairs import Inputs
    from dgunet.evaluation.rows import Row

_FILES = "folder of images or arrays, or a .npy, .npz or .mat file"


def score(
    restored: Annotated[Path, typer.Argument(help=f"the results: {_FILES}")],
    target: Annotated[Path, typer.Argument(help=f"the targets: {_FILES}")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="a name of `dgunet protocols`, e.g. rain-y; with --explain the line from which the"
            " differences are shown",
            autocompletion=completion.protocols,
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="score under every convention in use, with who uses it; needs minutes"
        ),
    ] = False,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="PSNR", help="with --explain: the PSNR to look for, as printed, e.g. 31.07"
        ),
    ] = None,
    expect_ssim: Annotated[
        str | None,
        typer.Option(metavar="SSIM", help="with --explain: the SSIM to look for, e.g. 0.91"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="with --explain: print JSON")] = False,
    value_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW..HIGH",
            help="range of stored floats: 0..1, 0..255, -1..1 or 0..65535",
            show_default="0..1 for floats, 0..65535 for 16 bits",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the columns restored,target, where the names do not tell the pairs"
        ),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="the variable of .mat and .npz files with several")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="write the per-image table here, .parquet or .csv"),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="accept targets without a restored image")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--mlflow", metavar="NAME", help="record the scores as an MLflow run of this name"
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER_OR_ZIP", help="write the scores as a sealed bundle"),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="with --bundle: the test set, all of whose images count"),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="with --bundle: sign with this Ed25519 key, a PEM file"),
    ] = None,
) -> None:
    """Score restored images of any method, under a protocol or under every convention in use.

    Images are paired by name: the same without suffix, else without regard to case, leading zeros
    and what all names share (1_out, rain-1). Results may be PNG, TIFF, BMP, JPEG, .npy, .npz or
    .mat, in 8 bits, 16 bits or floats; targets have 8-bit values. What is assumed is printed.
    Hidden files and folders are left out and counted.

    Example: dgunet score results/Rain100L Rain100L/target --protocol rain-y

    Example: dgunet score results/Rain100L Rain100L/target --explain --expect 37.42

    Example: dgunet score restored.mat Set11 --protocol cs-y --range 0..255

    Example: dgunet score results/Rain100L Rain100L/target --protocol rain-y --bundle scores.zip

    Example: dgunet score Idenoised.mat ValidationGtBlocksSrgb.mat --protocol sidd-blocks
    """
    from dgunet.evaluation.explanation import Expected
    from dgunet.evaluation.protocols import protocol as named_protocol
    from dgunet.evaluation.result_pairs import Inputs

    _check_options(protocol, explain, (expect, expect_ssim), as_json, (out, name, bundle))
    _check_bundle_options(bundle, dataset, sign)
    if protocol is not None:
        named_protocol(protocol)
    inputs = Inputs(value_range, pairs, variable)
    if not explain:
        rows = _score_under(str(protocol), restored, target, inputs, partial, out, name)
        if bundle is not None:
            from dgunet.tools.bundles.scored_bundle import bundle_scores

            bundle_scores(rows, restored, target, bundle, test_set=dataset, inputs=inputs, key=sign)
            typer.echo(f"{bundle}: verify it with `dgunet verify {bundle}`, or with its verify.py")
        return
    given = ((expect, "PSNR"), (expect_ssim, "SSIM"))
    expected = [Expected(text, metric) for text, metric in given if text is not None]
    _explain(restored, target, protocol, partial, inputs, expected, as_json)


def _check_options(
    protocol: str | None,
    explain: bool,
    expected: tuple[str | None, ...],
    as_json: bool,
    recorded: tuple[Path | str | None, ...],
) -> None:
    from dgunet.system.errors import ConfigError

    if protocol is None and not explain:
        raise ConfigError(
            "no definition of the score is given.",
            "Give --protocol NAME (see `dgunet protocols`), or --explain for all conventions.",
        )
    if not explain and (as_json or any(text is not None for text in expected)):
        raise ConfigError("--expect, --expect-ssim and --json go with --explain.", "Add --explain.")
    if explain and any(each is not None for each in recorded):
        raise ConfigError(
            "--out, --mlflow and --bundle record the scores of one protocol.",
            "Leave out --explain and give --protocol; --json prints all conventions.",
        )


def _check_bundle_options(bundle: Path | None, dataset: str | None, sign: Path | None) -> None:
    """Refuse options of a bundle without one, and a bundle that cannot be made, before scoring."""
    from dgunet.system.errors import ConfigError

    if bundle is None:
        if dataset is not None or sign is not None:
            raise ConfigError("--dataset and --sign are for a bundle.", "Give --bundle.")
        return
    if bundle.exists():
        raise ConfigError(f"{bundle} exists.", "Name a new folder or a new .zip file.")
    if dataset is not None:
        from dgunet.data.catalogue.entries import dataset as entry

        entry(dataset)
    if sign is not None:
        from dgunet.tools.bundles.signing import load_key

        load_key(sign)


def _note(line: str) -> None:
    from dgunet.system.terminal import printable

    typer.echo(printable(line))


def _score_under(
    protocol: str,
    restored: Path,
    target: Path,
    inputs: Inputs,
    partial: bool,
    out: Path | None,
    name: str | None,
) -> list[Row]:
    """Score under one protocol; print, write, record and return the scores."""
    from dgunet.evaluation.protocols import protocol as named_protocol
    from dgunet.evaluation.rows import count_infinite, mean, write_rows, write_rows_csv
    from dgunet.evaluation.scoring import score_results
    from dgunet.system.errors import ConfigError
    from dgunet.tools.external_scoring import score_and_report

    rules = named_protocol(protocol)
    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"--out is {out}.", "Name a .parquet or a .csv file.")

    def show(row: Row) -> None:
        typer.echo(f"{row.id}: {row.psnr:.4f} dB, SSIM {row.ssim:.6f}")

    rows: list[Row] = []
    if name is None:
        for row in score_results(
            restored, target, rules, partial=partial, inputs=inputs, note=_note
        ):
            rows.append(row)
            show(row)
    else:
        rows = score_and_report(
            restored,
            target,
            protocol,
            name=name,
            partial=partial,
            inputs=inputs,
            on_row=show,
            note=_note,
        )
    if out is not None:
        (write_rows if out.suffix == ".parquet" else write_rows_csv)(out, rows)
    same = count_infinite(row.psnr for row in rows)
    note = f" ({same} of {len(rows)} images equal the target: infinite PSNR)" if same else ""
    typer.echo(
        f"mean of {len(rows)} images under {rules.name}/{rules.version}: "
        f"{mean(row.psnr for row in rows):.4f} dB, SSIM {mean(row.ssim for row in rows):.6f}{note}"
    )
    return rows


def _explain(
    restored: Path,
    target: Path,
    protocol: str | None,
    partial: bool,
    inputs: Inputs,
    expected: list[Expected],
    as_json: bool,
) -> None:
    """Score under every convention; after Ctrl-C print what the images so far give."""
    from tqdm import tqdm

    from dgunet.evaluation.explanation import explain_results

    explanation: Explanation | None = None
    notes: list[str] = []
    growing = explain_results(
        restored,
        target,
        protocol=protocol,
        partial=partial,
        inputs=inputs,
        note=notes.append if as_json else _note,
    )
    stopped = False
    with tqdm(unit="image", disable=None) as bar:  # only on a terminal, on stderr
        try:
            for so_far, count in growing:
                explanation = so_far
                bar.total = count
                bar.update()
        except KeyboardInterrupt:
            stopped = True
    if explanation is not None:
        _print(explanation, expected, protocol, notes, as_json)
    if stopped:
        typer.echo("stopped: the numbers are of the images so far", err=True)
        raise typer.Exit(130)


def _print(
    explanation: Explanation,
    expected: list[Expected],
    protocol: str | None,
    notes: list[str],
    as_json: bool,
) -> None:
    from dgunet.evaluation.explanation_text import as_json as json_of
    from dgunet.evaluation.explanation_text import as_lines

    if as_json:
        typer.echo(json.dumps(json_of(explanation, expected) | {"notes": notes}, indent=2))
        return
    for line in as_lines(explanation, expected, protocol):
        _note(line)
