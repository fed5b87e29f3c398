"""The claims of `claims.yaml`, checked against catalogue, networks and the paper's tables.

Every testable claim is about one number, its effect: a weighted sum of mean PSNR values of our
networks, less a weighted sum of printed ones. The signs are such that the paper claims a positive
effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dgunet.paper import published
from dgunet.paper.cell_positions import Slot, slots
from dgunet.system.errors import ConfigError
from dgunet.system.files import sha256_json

NAME = "claims.yaml"

_ROUNDING = 0.0051
"""In dB: half a unit of a size's last digit, and rounding errors."""

Decibel = Annotated[float, Field(gt=0, le=20)]
Names = Annotated[list[str], Field(min_length=1)]
Ratios = list[int]
Direction = Literal["higher", "lower"]


class Term(NamedTuple):
    """A weighted mean PSNR of one of our networks on one test set."""

    weight: float
    dataset: str
    row: str
    ratio: int | None


class PrintedTerm(NamedTuple):
    """A weighted PSNR that the paper prints for another method."""

    weight: float
    table: int
    row: str
    column: str


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Place(_Strict):
    """Where the paper makes the claim, without a page number: section, table, and the sentence."""

    section: Annotated[str, Field(pattern=r"^\d(\.\d)?$")]
    sentence: Annotated[str, Field(min_length=1)]
    table: Annotated[int, Field(ge=1, le=6)] | None = None

    def __str__(self) -> str:
        table = "" if self.table is None else f", Table {self.table}"
        return f"Section {self.section}{table}"


class _Claim(_Strict):
    """What every claim states; `claims.yaml` explains the fields."""

    id: Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
    place: Place
    words: Annotated[str, Field(pattern=r"^\S+( \S+){0,7}$")]
    statement: Annotated[str, Field(min_length=1)]


class Untestable(_Claim):
    """A claim about something that evaluations do not hold."""

    test: Literal["none"]
    missing: Annotated[str, Field(min_length=1)]


class _Tested(_Claim):
    direction: Direction
    sets: Names
    size: Decibel
    smallest_effect: Decibel
    reason: Annotated[str, Field(min_length=1)]

    @property
    def sign(self) -> int:
        """1 for a claim of higher PSNR, -1 for one of lower PSNR."""
        return 1 if self.direction == "higher" else -1

    def means(self, row: str, weight: float, ratios: Ratios) -> list[Term]:
        """The terms of the mean of a network over the sets and ratios, of equal weight."""
        each: Sequence[int | None] = ratios or [None]
        cells = [(name, ratio) for name in self.sets for ratio in each]
        return [Term(self.sign * weight / len(cells), name, row, ratio) for name, ratio in cells]


class Paired(_Tested):
    """A claim that compares two of our networks image by image."""

    test: Literal["paired"]
    network: str
    reference: str
    ratios: Ratios = Field(default_factory=list)

    @property
    def terms(self) -> list[Term]:
        """Our part of the effect."""
        ours = self.means(self.network, 1.0, self.ratios)
        return [*ours, *self.means(self.reference, -1.0, self.ratios)]

    @property
    def printed_terms(self) -> list[PrintedTerm]:
        """None: nothing printed is compared with."""
        return []


class Published(_Tested):
    """A claim that compares one of our networks with the printed means of another method."""

    test: Literal["published"]
    network: str
    method: str
    ratios: Ratios = Field(default_factory=list)
    beyond_ratios: Ratios = Field(default_factory=list)

    @property
    def terms(self) -> list[Term]:
        """Our part of the effect."""
        ours = self.means(self.network, 1.0, self.ratios)
        return ours + (
            self.means(self.network, -1.0, self.beyond_ratios) if self.beyond_ratios else []
        )

    @property
    def printed_terms(self) -> list[PrintedTerm]:
        """The other method's values in the cells of `terms`."""
        found = []
        for term in self.terms:
            number, slot = _slot(self.id, term)
            here = published.table(number)
            row, column = slot.paper_row, slot.paper_column
            position = (self.method, column) if here.methods == "rows" else (row, self.method)
            found.append(PrintedTerm(term.weight, number, *position))
        return found


class Trend(_Tested):
    """A claim that PSNR grows along ordered networks: the least-squares line through their means.

    Its effect is the growth of that line from the first level to the last.
    """

    test: Literal["trend"]
    networks: Annotated[list[str], Field(min_length=3)]
    levels: Annotated[list[int], Field(min_length=3)]

    @property
    def terms(self) -> list[Term]:
        """Our part of the effect."""
        middle = sum(self.levels) / len(self.levels)
        square = sum((level - middle) ** 2 for level in self.levels)
        across = self.levels[-1] - self.levels[0]
        return [
            term
            for row, level in zip(self.networks, self.levels, strict=True)
            for term in self.means(row, across * (level - middle) / square, [])
        ]

    @property
    def printed_terms(self) -> list[PrintedTerm]:
        """None: nothing printed is compared with."""
        return []


Tested = Paired | Published | Trend
Claim = Annotated[Paired | Published | Trend | Untestable, Field(discriminator="test")]
_CLAIMS = TypeAdapter(list[Claim])


@cache
def claims() -> tuple[Claim, ...]:
    """The claims of the paper.

    Raises:
        ConfigError: if `claims.yaml` is wrong; see `check_claims`.
    """
    return check_claims(parse(text()))


def text() -> str:
    """The content of `claims.yaml`."""
    return files(__package__).joinpath(NAME).read_text(encoding="utf-8")


def parse(content: str) -> list[Any]:
    """The items of a file of claims, unchecked; none for content that is no list."""
    try:
        found = yaml.safe_load(content)
    except yaml.YAMLError:
        return []
    return found if isinstance(found, list) else []


def digests(items: Iterable[Any]) -> dict[str, str]:
    """The SHA-256 of everything that each claim states, by its id; comments do not count."""
    named = (each for each in items if isinstance(each, Mapping) and "id" in each)
    return {str(each["id"]): sha256_json(dict(each)) for each in named}


def check_claims(items: list[Any]) -> tuple[Claim, ...]:
    """Check claims, and return them.

    Every network and test set must have a cell in the tables, every printed value must exist, the
    claimed size must be that of the printed tables, and the smallest effect must be smaller.

    Raises:
        ConfigError: with the claim, the field and the value.
    """
    try:
        found = tuple(_CLAIMS.validate_python(items))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = first["loc"][0] if first["loc"] else 0
        item = items[int(where)]
        name = item.get("id", where) if isinstance(item, Mapping) else where
        fields = ".".join(map(str, first["loc"][2:]))
        raise _wrong(f"{name}, {fields}", f"{first['msg']}, is {first['input']!r}") from None
    if not found:
        raise ConfigError(f"{NAME} has no claims.", "Restore the file.")
    seen: set[str] = set()
    for claim in found:
        if claim.id in seen:
            raise _wrong(claim.id, "two claims have this id")
        seen.add(claim.id)
        if not isinstance(claim, Untestable):
            _check_tested(claim)
    return found


def printed_effect(claim: Tested) -> float:
    """The effect of a claim in the printed tables, in dB.

    Raises:
        ConfigError: if a table has no such value.
    """
    return sum(t.weight * _ours(claim.id, t) for t in claim.terms) - printed_sum(claim)


def printed_sum(claim: Tested) -> float:
    """The weighted sum of the other method's printed values; 0 if nothing printed is compared."""
    return sum(
        term.weight * _value(claim.id, term.table, term.row, term.column)
        for term in claim.printed_terms
    )


def _check_tested(claim: Tested) -> None:
    if isinstance(claim, Trend):
        if len(claim.levels) != len(claim.networks):
            raise _wrong(claim.id, f"{len(claim.networks)} networks, {len(claim.levels)} levels")
        if claim.levels != sorted(set(claim.levels)):
            raise _wrong(claim.id, f"levels do not grow: {claim.levels}")
    if isinstance(claim, Paired) and claim.network == claim.reference:
        raise _wrong(claim.id, f"{claim.network} is compared with itself")
    printed = printed_effect(claim)
    if abs(printed - claim.size) > _ROUNDING:
        raise _wrong(f"{claim.id}, size", f"is {claim.size}, the printed tables say {printed:.3f}")
    if claim.smallest_effect >= claim.size:
        raise _wrong(
            f"{claim.id}, smallest_effect",
            f"is {claim.smallest_effect}, not below the claimed size {claim.size}",
        )


@cache
def _slots() -> dict[tuple[str, str, int | None], tuple[int, Slot]]:
    """The first position of each of our results in the tables."""
    found: dict[tuple[str, str, int | None], tuple[int, Slot]] = {}
    for table in published.tables():
        for slot in slots(table, "reproduced"):
            if len(slot.datasets) == 1:
                found.setdefault((slot.datasets[0], slot.key, slot.ratio), (table.number, slot))
    return found


def _slot(name: str, term: Term) -> tuple[int, Slot]:
    key = (term.dataset, term.row, term.ratio)
    if key not in _slots():
        ratio = "" if term.ratio is None else f" at {term.ratio} %"
        raise _wrong(name, f"no table has a cell for {term.row} on {term.dataset}{ratio}")
    return _slots()[key]


def _ours(name: str, term: Term) -> float:
    number, slot = _slot(name, term)
    return _value(name, number, slot.paper_row, slot.paper_column)


def _value(name: str, number: int, row: str, column: str) -> float:
    cell = published.table(number).cells.get((row, column, "PSNR"))
    if cell is None or cell.value is None:
        raise _wrong(name, f"Table {number} prints no PSNR for row {row!r}, column {column!r}")
    return cell.value


def _wrong(where: str, what: str) -> ConfigError:
    return ConfigError(f"{NAME}: {where}: {what}.", "Correct the claim, or restore the file.")
