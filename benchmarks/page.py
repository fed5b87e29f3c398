"""Print the page of measured performance, generated from every file of results.

python -m benchmarks.page > docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks import precision, short_training
from benchmarks.rows import ratios, seconds
from benchmarks.suites import SUITES

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
NOTHING = "–"

Content = dict[str, Any]
"""A file of results, or one of its rows."""


def result_files(folder: Path = RESULTS) -> dict[str, list[Content]]:
    """The contents of the files of every benchmark, by its name, in the order of their names."""
    return {
        name: [
            json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(folder.glob(f"{name}-*.json"))
        ]
        for name in SUITES
    }


def page(folder: Path = RESULTS) -> str:
    """The page as Markdown."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = result_files(folder)
    sections = {
        SUITES[name].title: [section(content, name) for content in contents]
        for name, contents in files.items()
    }
    gpu = any(c["machine"]["gpu"] for found in files.values() for c in found)
    return environment.get_template("page.md.j2").render(
        sections=sections,
        gpu=gpu,
        precisions=precision_tables(folder),
        trainings=short_trainings(folder),
    )


def precision_tables(folder: Path) -> list[tuple[str, str]]:
    """Machine and table of every file of `benchmarks.precision`."""
    contents = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("precision-*.json"))
    ]
    return [
        (machine_title(content["machine"]), table(head, lines))
        for content in contents
        for head, *lines in [precision.lines(content["rows"])]
    ]


def short_trainings(folder: Path) -> list[tuple[str, str, str]]:
    """Machine, description and table of every file of `benchmarks.short_training`."""
    contents = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("short-training-*.json"))
    ]
    return [
        (machine_title(content["machine"]), short_training.about(content), table(head, lines))
        for content in contents
        for head, *lines in [short_training.lines(content)]
    ]


def section(content: Content, name: str) -> Content:
    """Title, description and tables of one file of the benchmark ``name``."""
    rows, device = content["rows"], content["machine"]["device"]
    measured = [row for row in rows if "not_run" not in row]
    derived = SUITES[name].derived(measured, device)
    return {
        "title": machine_title(content["machine"]),
        "about": about(content),
        "overview": overview(rows, device) if len({row["candidate"] for row in rows}) > 1 else None,
        "details": details(measured, content["machine"]) if measured else None,
        "derived": derived and (derived[0], table(derived[1][0], derived[1][1:])),
        "not_run": [
            f"{row['case']}, {row['candidate']}: {row['not_run']}"
            for row in rows
            if "not_run" in row
        ],
    }


def machine_title(machine: Content) -> str:
    """Hardware and torch in a few words."""
    torch = machine["software"]["torch"]
    if machine["gpu"]:
        return f"{machine['gpu']}, torch {torch}"
    return (
        f"{machine['cpu']}, {machine['kernels']}, {machine['cores']} cores,"
        f" {machine['threads']} thread{'s' if machine['threads'] > 1 else ''}, torch {torch}"
    )


def about(content: Content) -> str:
    """One sentence about machine, peak, load and dates."""
    machine, rows = content["machine"], content["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["software"].items())
    product, convolution = (
        machine["peak_gflops"][kind] for kind in ("matrix_product", "convolution")
    )
    unit, key = _rate_of(machine)
    loads = [load for row in rows for load in row.get("load", []) if load is not None]
    busy = f" Load average {min(loads):.1f} to {max(loads):.1f}." if loads else ""
    dates = sorted({row["date"] for row in rows})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    code = ", ".join(dict.fromkeys(row["code"][:8] for row in rows))
    form = convolution.get("precision", "float32")
    width = f"{convolution['width']} channels" + (f" in {form}" if form != "float32" else "")
    return (
        f"Measured {when}; {machine['system']}, {machine['memory_gib']} GiB, {versions}. Peak of"
        f" this machine in float32: matrix product {product[key]:.0f} {unit}, 3x3 convolution"
        f" {convolution[key]:.0f} {unit} at {width}.{busy} Code: {code}."
    )


def _rate_of(machine: Content) -> tuple[str, str]:
    """Name of the unit of rates, and its key in the peaks."""
    if machine["device"] == "cuda":
        return "GFLOP/s", "per_second"
    return "GFLOP per CPU second", "per_cpu_second"


def overview(rows: Sequence[Content], device: str) -> str:
    """Median ratios: a line for each case, a column for each candidate."""
    names = list(dict.fromkeys(row["candidate"] for row in rows))
    cells = {(row["case"], row["candidate"]): row for row in rows}

    def cell(case: str, name: str) -> str:
        row = cells.get((case, name))
        if row is None:
            return NOTHING
        return "not run" if "not_run" in row else f"{times(ratios(row, device)[1])}"

    lines = [
        [case, *(cell(case, name) for name in names)] for case in dict.fromkeys(c for c, _ in cells)
    ]
    return table(["Case", *names], lines)


def details(rows: Sequence[Content], machine: Content) -> str:
    """Times, ratios, memory and differences of every pair that was measured."""
    device = machine["device"]
    counted = any(row["flops"] for row in rows)
    unit, key = _rate_of(machine)
    head = ["Case", "Baseline", "Candidate", "Times faster (rounds)", "On the clock"]
    head += ["CPU ms", "Clock ms", *([unit, "of peak"] if counted else []), "Peak MiB"]
    facts = list(dict.fromkeys(name for row in rows for name in _facts(row, "candidate")))
    peak = machine["peak_gflops"]["convolution"][key] if counted else None
    lines = (
        [*_detail(row, device, peak), *(_fact(row, name) for name in facts), _difference(row)]
        for row in rows
    )
    return table([*head, *facts, "Difference"], lines)


def _facts(row: Content, side: str) -> dict[str, float | str]:
    found: dict[str, float | str] = row["memory"][side].get("facts", {})
    return found


def _fact(row: Content, name: str) -> str:
    values = (_facts(row, side).get(name) for side in ("baseline", "candidate"))
    return arrow(
        NOTHING if value is None else value if isinstance(value, str) else f"{value:g}"
        for value in values
    )


def _difference(row: Content) -> str:
    return "; ".join(f"{name} {one['relative']:.1g}" for name, one in row["differences"].items())


def _detail(row: Content, device: str, peak: float | None) -> list[str]:
    low, middle, high = ratios(row, device)
    cpu, wall = seconds(row, "cpu"), seconds(row, "wall")
    spread = f"{times(low)} to {times(high)} in {len(row['rounds'])}"
    rate = []
    if peak is not None:
        spent = wall if device == "cuda" else cpu
        reached = [row["flops"] / 1e9 / one for one in spent]
        rate = [arrow(f"{one:.0f}" for one in reached), f"{reached[1] / peak:.0%}"]
    return [
        row["case"],
        row["baseline"],
        row["candidate"],
        f"**{times(middle)}** ({spread})",
        times(wall[0] / wall[1]),
        arrow(f"{1e3 * one:.3g}" if one < 1 else f"{1e3 * one:,.0f}" for one in cpu),
        arrow(f"{1e3 * one:.3g}" if one < 1 else f"{1e3 * one:,.0f}" for one in wall),
        *rate,
        memory(row["memory"], device),
    ]


def memory(found: Content, device: str) -> str:
    """Peak MiB of both processes; on a GPU, of the tensors there."""
    key = "gpu_peak_mib" if device == "cuda" else "peak_mib"
    values = [found[side][key] for side in ("baseline", "candidate")]
    return arrow(NOTHING if value is None else f"{value:,.0f}" for value in values)


def times(ratio: float) -> str:
    """A ratio with three digits."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}" if ratio >= 10 else f"{ratio:.2f}"


def arrow(values: Iterable[str]) -> str:
    """Baseline and candidate in one cell."""
    return " → ".join(values)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    words = ("Case", "Baseline", "Candidate", "Difference", "Training")
    rows = [head, ["---" if name in words else "---:" for name in head], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Print the page."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    sys.stdout.write(page())


if __name__ == "__main__":
    main()
