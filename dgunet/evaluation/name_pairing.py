"""Pairing of restored images with their targets by name, also where a method changed the names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgunet.system.errors import EvaluationError
from dgunet.system.reading import read_text, shorten

_TOKENS = re.compile(r"[0-9]+|[^\W\d_]+|.", re.DOTALL)
_SHOWN = 3
_LENGTH = 300
_HINT = "Name the pairs in a CSV file with the columns restored,target: --pairs FILE"
SAME = "same name"


@dataclass(frozen=True)
class Pairing:
    """Pairs of names (restored, target) in natural order of the targets, and the rule."""

    rule: str
    pairs: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        """Return one line with the rule and the first pairs."""
        first = ", ".join(f"{one} -> {other}" for one, other in self.pairs[:_SHOWN])
        more = f", ... ({len(self.pairs)} pairs)" if len(self.pairs) > _SHOWN else ""
        return f"paired by {self.rule}: {first[:_LENGTH]}{more}"


def pair_names(
    restored: Mapping[str, str], targets: Mapping[str, str], *, partial: bool = False
) -> Pairing:
    """Find the one-to-one matching of the names of results and targets.

    The rules, in order: the same name; the same without regard to case; the same after removing
    the beginning and the end that all names of a folder share (``rain-1`` and ``norain-1``,
    ``1_out`` and ``1``); the same with numbers compared by value (``1`` and ``001``); a result
    that begins with the target's name (``barbara.tif_ISTA_PSNR_33.73`` and ``barbara``).

    Args:
        restored: names of the results, and how to show each in a message.
        targets: names of the targets, likewise.
        partial: accept targets without a result.

    Raises:
        EvaluationError: if no rule matches all names one to one.
    """
    found = [(rule, _matched(keys, restored, targets, partial)) for rule, keys in _RULES]
    found.append(("the target's name at the beginning", _beginning(restored, targets, partial)))
    complete = [(rule, match) for rule, match in found if match is not None]
    if not complete:
        raise _unpaired(restored, targets, partial)
    rule, match = complete[0]
    return Pairing(rule, tuple(sorted(match.items(), key=_order)))


def _order(pair: tuple[str, str]) -> tuple[Any, ...]:
    """By target, numbers by value; the names themselves decide between 0 and 00."""
    restored, target = pair
    return natural(target), target, natural(restored), restored


def read_pairs_file(path: Path, restored: Sequence[str], targets: Sequence[str]) -> Pairing:
    """Read the pairs of a CSV file with the columns ``restored`` and ``target``.

    A name is the path below the folder, with or without the suffix.

    Raises:
        EvaluationError: naming the line of a name that does not exist or occurs twice.
    """
    try:
        text = read_text(path, kind=EvaluationError)
    except FileNotFoundError:
        raise EvaluationError(f"there is no file {path}.", "Check --pairs.") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if set(reader.fieldnames or ()) != {"restored", "target"}:
        raise EvaluationError(
            f"{path} has the columns {shorten(','.join(reader.fieldnames or ()))}.",
            "Its first line is: restored,target",
        )
    pairs: dict[str, str] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        one = _existing(row["restored"], restored, f"{where}: restored")
        other = _existing(row["target"], targets, f"{where}: target")
        if one in pairs or other in pairs.values():
            raise EvaluationError(f"{where}: a name occurs twice.", "Name every image once.")
        pairs[one] = other
    if not pairs:
        raise EvaluationError(f"{path} names no pair.", "Add one line for each pair.")
    return Pairing(path.name, tuple(pairs.items()))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts 2 before 10; digits of other scripts count as letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if "0" <= part[0] <= "9" else (1, 0, part) for part in parts]


def _existing(name: str | None, known: Sequence[str], where: str) -> str:
    text = (name or "").strip()
    for candidate in (text, str(Path(text).with_suffix("").as_posix()) if text else ""):
        if candidate and candidate in known:
            return candidate
    raise EvaluationError(
        f"{where} {shorten(text)} is not among the {len(known)} images.",
        "Write the path below the folder, with or without its suffix.",
    )


def _folded(names: Sequence[str]) -> list[str]:
    return [name.casefold() for name in names]


def _stripped(names: Sequence[str]) -> list[str]:
    """Names without the tokens that all of them begin and end with.

    Tokens are whole numbers and words: 1, 10 and 100 do not begin with a common 1.
    """
    tokens = [_TOKENS.findall(name) for name in _folded(names)]
    if len(tokens) < 2:
        return _folded(names)
    shortest = min(map(len, tokens))
    start = next((i for i in range(shortest) if len({t[i] for t in tokens}) > 1), shortest)
    left = shortest - start
    end = next((i for i in range(left) if len({t[-1 - i] for t in tokens}) > 1), left)
    return ["".join(each[start : len(each) - end]) for each in tokens]


def _by_value(names: Sequence[str]) -> list[str]:
    return [
        re.sub(r"[0-9]+", lambda found: found[0].lstrip("0") or "0", name)
        for name in _stripped(names)
    ]


_RULES: tuple[tuple[str, Callable[[Sequence[str]], list[str]]], ...] = (
    (SAME, list),
    ("name without regard to case", _folded),
    ("name without the common beginning and end", _stripped),
    ("name with numbers by value", _by_value),
)


def _matched(
    keys: Callable[[Sequence[str]], list[str]],
    restored: Mapping[str, str],
    targets: Mapping[str, str],
    partial: bool,
) -> dict[str, str] | None:
    """The matching of equal keys, or None if it is not one-to-one and complete."""
    ours = dict(zip(keys(list(restored)), restored, strict=True))
    theirs = dict(zip(keys(list(targets)), targets, strict=True))
    if len(ours) < len(restored) or len(theirs) < len(targets) or not set(ours) <= set(theirs):
        return None
    if len(ours) < len(theirs) and not partial:
        return None
    return {name: theirs[key] for key, name in ours.items()}


def _beginning(
    restored: Mapping[str, str], targets: Mapping[str, str], partial: bool
) -> dict[str, str] | None:
    """The longest target name, as whole tokens, that each result begins with."""
    theirs = {tuple(_TOKENS.findall(name.casefold())): name for name in targets}
    match = {}
    for name in restored:
        tokens = tuple(_TOKENS.findall(name.casefold()))
        starts = (tokens[:count] for count in range(len(tokens), 0, -1))
        start = next((start for start in starts if start in theirs), None)
        if start is None:
            return None
        match[name] = theirs[start]
    once = len(set(match.values())) == len(match) and len(theirs) == len(targets)
    return match if once and (partial or len(match) == len(targets)) else None


def _unpaired(
    restored: Mapping[str, str], targets: Mapping[str, str], partial: bool
) -> EvaluationError:
    """State which names are left over, under the same name if any has its counterpart."""
    for here, there, kind in (
        (restored, targets, "restored images without a target"),
        ({} if partial else targets, restored, "targets without a restored image"),
    ):
        left = [name for name in here if name not in there]
        if left:
            return EvaluationError(
                f"{kind}: {len(left)} of {len(here)}; the first is {here[left[0]]}.",
                "Pairs have the same name without suffix, apart from case, leading zeros and what "
                f"all names share; --partial scores a part of the targets. {_HINT}.",
            )
    return EvaluationError("no image is left to pair.", f"{_HINT}.")
