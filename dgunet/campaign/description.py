"""The description of a campaign: cells of the tables, and the networks and sets behind them.

`dgunet campaign`, ``dvc.yaml`` and the Kubeflow pipeline make the same results from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dgunet.config import Params
from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.paper import published
from dgunet.paper.cell_positions import Slot, slots
from dgunet.project import model_key
from dgunet.system.errors import ConfigError
from dgunet.terms import (
    ABLATION_SET,
    ABLATION_TASK,
    ABLATION_VARIANT,
    ABLATIONS,
    RELEASED_ABLATIONS,
    TRAINING_SETS,
    VARIANTS,
    Profile,
    Task,
    Variant,
    WeightsOrigin,
    check_variant,
)


@dataclass(frozen=True, order=True)
class WantedNetwork:
    """A network of the tables.

    Attributes:
        task, variant: of the network.
        ratio: compressive-sensing ratio in percent, 0 for the other tasks.
        ablation: key of the ablation, "" for a network of Tables 1-4.
    """

    task: Task
    variant: Variant
    ratio: int = 0
    ablation: str = ""

    @property
    def key(self) -> str:
        """Name of the network: its folder under ``models`` or ``ablations``."""
        return self.ablation or self.published_key

    @property
    def published_key(self) -> str:
        """Name of the network of Tables 1-4 that this is, or that the ablation changes."""
        return model_key(self.task, self.variant, self.ratio or None)

    @property
    def published(self) -> WantedNetwork:
        """The network of Tables 1-4 behind it: the one released ablation is DGUNet+ itself."""
        return replace(self, ablation="")

    @property
    def training_set(self) -> str:
        """The set that the paper trains it on."""
        return TRAINING_SETS[self.task]


@dataclass(frozen=True, order=True)
class WantedEvaluation:
    """One network scored on one test set: one result, which fills one or more cells.

    Attributes:
        dataset: the test set.
        network: the network.
    """

    dataset: str
    network: WantedNetwork

    @property
    def row(self) -> str:
        """Row of the result: the variant or the ablation's key."""
        return self.network.ablation or self.network.variant

    @property
    def name(self) -> str:
        """Name for progress and ledger, e.g. ``Set11 DGUNet+ 10 %``."""
        ratio = f" {self.network.ratio} %" if self.network.ratio else ""
        return f"{self.dataset} {self.row}{ratio}"


@dataclass(frozen=True)
class WantedCell:
    """A position of our results in a table of the paper.

    Attributes:
        table: its number.
        slot: its labels, test sets and network.
        metrics: the table's metrics: one cell for each.
    """

    table: int
    slot: Slot
    metrics: tuple[str, ...]

    @property
    def label(self) -> str:
        """Name of the column, or in Table 4, whose columns are networks, of the row."""
        return self.slot.paper_row if self.slot.ratio else self.slot.paper_column

    @property
    def name(self) -> str:
        """Position in one line, e.g. ``Table 1, DGUNet+, Rain100L``."""
        network = "" if self.slot.key in ABLATIONS else f"{self.slot.key}, "
        return f"Table {self.table}, {network}{self.label}"

    def evaluations(self) -> list[WantedEvaluation]:
        """The results that this cell is computed from; five for the average of Table 1."""
        return [WantedEvaluation(name, _network(name, self.slot)) for name in self.slot.datasets]


@dataclass(frozen=True)
class Campaign:
    """Cells to fill, with which weights, under which profile.

    Attributes:
        profile: "paper", or "sample" for the embedded data.
        weights: origin of the networks.
        cells: the positions in the tables.
        checkpoint: one file of weights for all cells, instead of ``weights``.
    """

    profile: Profile
    weights: WeightsOrigin
    cells: tuple[WantedCell, ...]
    checkpoint: Path | None = None

    @property
    def trains(self) -> bool:
        """Whether its networks are trained."""
        return self.weights == "trained" and self.checkpoint is None

    def evaluations(self) -> list[WantedEvaluation]:
        """The results to make, by the catalogue's order of the sets, each once."""
        order = {name: number for number, name in enumerate(CATALOGUE)}
        found = {each for cell in self.fillable() for each in cell.evaluations()}
        return sorted(found, key=lambda each: (order[each.dataset], each.network))

    def networks(self) -> list[WantedNetwork]:
        """The networks of `evaluations`, each once."""
        return list(dict.fromkeys(each.network for each in self.evaluations()))

    def test_sets(self) -> list[str]:
        """The test sets of `evaluations`, in the catalogue's order."""
        return list(dict.fromkeys(each.dataset for each in self.evaluations()))

    def fillable(self) -> list[WantedCell]:
        """The cells that weights of this origin exist for."""
        return [cell for cell in self.cells if not self.without_weights(cell)]

    def without_weights(self, cell: WantedCell) -> str:
        """Why no weights of this origin exist for ``cell``; "" if they do."""
        key = cell.slot.key
        if self.weights == "released" and key in ABLATIONS and key not in RELEASED_ABLATIONS:
            return "the authors published no weights of it"
        return ""


def campaign_of(params: Params) -> Campaign:
    """The campaign of ``params.yaml``, which `dvc repro` and the pipeline ``reproduce`` run."""
    rows = (*params.variants, *ABLATIONS)
    return Campaign(params.profile, params.weights, choose_cells(rows=rows))


def choose_cells(
    tables: Sequence[str] = (),
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    sets: Sequence[str] = (),
) -> tuple[WantedCell, ...]:
    """The cells of our results that all of the given names select; no names select all.

    Args:
        tables: "table1" or "1" to "table6", or "all".
        rows: networks: DGUNet, DGUNet+, or the key of an ablation.
        columns: columns of Tables 1-3, 5 and 6, such as "Rain100L" or "9 stages, 3 scales", and
            rows of Table 4, such as "Set11 10%".
        sets: test sets.

    Raises:
        ConfigError: for an unknown name, with the valid ones, or if no cell is left.
    """
    numbers = [_table_number(name) for name in tables if name != "all"] or published.NUMBERS
    every = [
        WantedCell(number, slot, published.table(number).metrics)
        for number in published.NUMBERS
        for slot in slots(published.table(number), "reproduced")
    ]
    _refuse_unknown("row", rows, (*VARIANTS, *ABLATIONS))
    _refuse_unknown("column", columns, dict.fromkeys(cell.label for cell in every))
    _refuse_unknown("set", sets, dict.fromkeys(n for cell in every for n in cell.slot.datasets))
    found = tuple(
        cell
        for cell in every
        if cell.table in numbers
        and (not rows or cell.slot.key in rows)
        and (not columns or cell.label in columns)
        and (not sets or set(cell.slot.datasets) <= set(sets))
    )
    if not found:
        raise ConfigError(
            "no cell of these tables is in all of the chosen rows, columns and sets.",
            "Leave one of them out: no names mean all.",
        )
    return found


def for_checkpoint(cells: Iterable[WantedCell], config: Any, file: Path) -> tuple[WantedCell, ...]:
    """Those of ``cells`` that one network can fill: of its task, variant and ratio.

    Raises:
        ConfigError: if there is none.
    """
    found = tuple(
        cell
        for cell in cells
        if cell.slot.key not in ABLATIONS
        and CATALOGUE[cell.slot.datasets[0]].task == config.task
        and (cell.slot.key, cell.slot.ratio) == (config.variant, config.ratio)
    )
    if not found:
        ratio = "" if config.ratio is None else f" at {config.ratio} %"
        raise ConfigError(
            f"{file} holds {config.variant} for {config.task}{ratio}; none of the chosen cells is"
            " of this network.",
            "Choose other tables, rows or sets, or other weights.",
        )
    return found


def _network(dataset: str, slot: Slot) -> WantedNetwork:
    if slot.key in ABLATIONS:
        assert dataset == ABLATION_SET
        return WantedNetwork(ABLATION_TASK, ABLATION_VARIANT, ablation=slot.key)
    return WantedNetwork(CATALOGUE[dataset].task, check_variant(slot.key), slot.ratio or 0)


def _table_number(name: str) -> int:
    text = name.lower().removeprefix("table").strip()
    if text not in map(str, published.NUMBERS):
        raise ConfigError(f"there is no table {name!r}.", "Tables are table1 to table6, or all.")
    return int(text)


def _refuse_unknown(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    listed = list(known)
    for name in names:
        if name not in listed:
            raise ConfigError(
                f"the tables have no {kind} {name!r}.",
                f"{kind.capitalize()}s are: {'; '.join(listed)}.",
            )
