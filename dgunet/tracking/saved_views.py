"""Saved views of MLflow's user interface: one for the runs of each of the paper's tables.

MLflow keeps a view as a tag of its experiment, ``mlflow.sharedViewState.<id>``: JSON with a name,
two times, and the deflated state of the page (filter, order, columns, charts). The page lists it
under "Views" and opens it by ``?viewStateShareKey=<id>``. The format is that of MLflow 3.17.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from dgunet.terms import TABLE_TAG

TAG_PREFIX = "mlflow.sharedViewState."

_DEFLATED = "deflate;"
_WRITTEN = 1
"""Time of a view that this module wrote; MLflow sets the real time when a person changes it."""

_NETWORKS = ("params.stages", "params.scales", "params.parameters")
_SETS = ("tags.dataset", "tags.row", "tags.ratio", "params.input_psnr")
_COLUMNS: Mapping[int, tuple[str, ...]] = {
    1: _SETS,
    2: _SETS,
    3: _SETS,
    4: _SETS,
    5: _NETWORKS,
    6: (*_NETWORKS, "params.network.gradient", "params.network.fusion"),
}
"""What is compared in each table, besides PSNR and SSIM."""

_AXES: Mapping[int, tuple[str, ...]] = {
    5: ("stages", "scales", "parameters"),
    6: ("network.gradient", "network.fusion", "parameters"),
}
"""Parameters of the tables that vary the network, in the order of parallel coordinates."""


def view_id(table: int) -> str:
    """The id of a table's view in the address of a page."""
    return f"dgunet-table-{table}"


def view_tag(table: int) -> str:
    """The tag of an experiment that keeps the view of ``table``."""
    return f"{TAG_PREFIX}{view_id(table)}"


def viewed_tables(tags: Mapping[str, str]) -> set[int]:
    """The tables whose views are among the tags of an experiment."""
    return {table for table in _COLUMNS if view_tag(table) in tags}


def table_view(table: int) -> str:
    """The value of `view_tag`: the scored runs of ``table``, the highest PSNR first."""
    state = json.dumps(_state(table), separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(state.encode(), 9)).decode()
    return json.dumps(
        {
            "name": f"Table {table}",
            "createdAt": _WRITTEN,
            "updatedAt": _WRITTEN,
            "state": _DEFLATED + packed,
        }
    )


def is_changed_by_hand(value: str) -> bool:
    """Whether a person changed a view in MLflow, so that it must not be replaced."""
    try:
        return bool(json.loads(value)["updatedAt"] != _WRITTEN)
    except (ValueError, KeyError, TypeError):
        return True


def _state(table: int) -> dict[str, Any]:
    columns = [_column(name) for name in ("metrics.psnr", "metrics.ssim", *_COLUMNS[table])]
    return {
        "searchFilter": f"tags.`{TABLE_TAG}` LIKE '%{table}%' and metrics.psnr > 0",
        "orderByKey": _column("metrics.psnr"),
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, 120),
        "compareRunSections": [_section("Results"), _section("Model metrics")],
        "compareRunCharts": _charts(table),
        "isAccordionReordered": True,  # otherwise MLflow sorts the sections
    }


def _column(name: str) -> str:
    kind, _, key = name.partition(".")
    return f"{kind}.`{key}`"


def _section(name: str) -> dict[str, Any]:
    return {"uuid": name, "name": name, "display": True, "isReordered": True, "deleted": False}


def _charts(table: int) -> list[dict[str, Any]]:
    """PSNR and SSIM; for an ablation also PSNR over what it varies. MLflow appends the rest."""
    charts: list[dict[str, Any]] = [
        {"type": "BAR", "metricKey": key, "displayName": key, "runsCountToCompare": 20}
        for key in ("psnr", "ssim")
    ]
    if axes := _AXES.get(table):
        charts += [
            {
                "type": "PARALLEL",
                "selectedParams": list(axes),
                "selectedMetrics": ["psnr"],
                "showAllRuns": False,
            },
            {
                "type": "SCATTER",
                "xaxis": {"key": "parameters", "type": "PARAM"},
                "yaxis": {"key": "psnr", "type": "METRIC"},
                "runsCountToCompare": 100,
            },
        ]
    common = {"metricSectionId": "Results", "deleted": False, "isGenerated": False}
    return [chart | common | {"uuid": f"chart-{n}"} for n, chart in enumerate(charts)]
