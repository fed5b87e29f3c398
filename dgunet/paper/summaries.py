"""Checked summaries of evaluations, from which the tables are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from dgunet.evaluation.file_fields import check_fields
from dgunet.evaluation.summary import SELECTION, Word
from dgunet.system.errors import ConfigError, DataError
from dgunet.system.files import sha256_json
from dgunet.terms import TABLE_PROFILES, EvaluationState, Profile, Weights

ResultKey = tuple[str, str, int | None]
"""Test set, row (variant or ablation key), and compressive-sensing ratio in percent or None."""


class Summary(BaseModel):
    """One evaluated test set, from its ``summary.json``; other keys are ignored.

    Attributes:
        profile: "sample" or "paper".
        dataset: the test set's name in the catalogue.
        row: "DGUNet", "DGUNet+" or an ablation key such as "stages-9".
        ratio: compressive-sensing ratio in percent, None for the other tasks.
        images, published_images: number of images scored, and number in the benchmark.
        complete: whether all of the benchmark's images were scored.
        parity: whether network and protocol are those behind the paper's numbers.
        selection: how the weights were selected; "test-set <name>" where a test set was used.
        weights: origin of the weights; see `dgunet.terms.Weights`.
        training_digest: SHA-256 of the training set of "trained" weights, "" where it is unknown.
        psnr, ssim: mean over the images, PSNR in dB; None without ground truth, or infinite.
        identical: number of images of infinite PSNR; with one or more, the mean is infinite.
        data_digest, checkpoint_sha256, per_image_sha256: SHA-256 of the prepared set, of the
            weights and of the per-image table.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    profile: Profile
    dataset: Word
    row: Word
    ratio: int | None
    images: int = Field(ge=0)
    published_images: int = Field(ge=0)
    complete: bool
    state: EvaluationState
    data_digest: str = Field(min_length=1)
    checkpoint_sha256: str = Field(min_length=1)
    protocol: Word
    protocol_version: str | int
    parity: bool
    selection: str = Field("unknown", pattern=SELECTION)
    weights: Weights = "other"
    training_digest: str = ""
    psnr: FiniteFloat | None
    ssim: FiniteFloat | None
    per_image_sha256: str | None
    identical: int = Field(0, ge=0)

    @property
    def key(self) -> ResultKey:
        """Test set, row and ratio."""
        return self.dataset, self.row, self.ratio

    @property
    def chosen_on(self) -> str | None:
        """The test set that the weights were selected on, or None."""
        return self.selection.removeprefix("test-set ") if "test-set" in self.selection else None

    def value(self, metric: str) -> float | None:
        """The mean of ``metric`` ("PSNR" or "SSIM")."""
        return self.psnr if metric == "PSNR" else self.ssim


def read_summaries(
    summaries: Iterable[Mapping[str, Any]], *, profile: str, keys: Iterable[ResultKey]
) -> dict[ResultKey, Summary]:
    """Check ``summaries`` and sort them by test set, row and ratio.

    Args:
        summaries: the parsed ``summary.json`` of each evaluated test set.
        profile: profile of the tables; summaries of another one are refused.
        keys: the keys of all results for which the six tables have a cell.

    Raises:
        ConfigError: for an unknown profile, a summary of another profile, or a result for which
            no table has a cell.
        DataError: if a field is missing or wrong, two summaries are for the same result, or one
            test set was scored on two versions of its data.
    """
    if profile not in TABLE_PROFILES:
        tabled = " and ".join(TABLE_PROFILES)
        raise ConfigError(
            f"there are no tables of the profile {profile!r}, only of {tabled}.",
            "`dgunet claims` judges results of the reduced profile.",
        )
    known = set(keys)
    found: dict[ResultKey, Summary] = {}
    for content in summaries:
        summary = _checked(content)
        name = _name(summary.key)
        if summary.profile != profile:
            raise ConfigError(
                f"the summary of {name} has profile {summary.profile!r}; the tables are for "
                f"{profile!r}.",
                "Evaluate it again under this profile, or make the tables for the other one.",
            )
        if summary.key not in known:
            raise ConfigError(f"no table has a cell for {name}.", _known_rows(summary.key, known))
        if summary.key in found:
            raise DataError(
                f"there are two summaries of {name}.", "Keep the one that belongs in the table."
            )
        found[summary.key] = summary
    _refuse_two_digests(found.values())
    return dict(sorted(found.items(), key=lambda item: _name(item[0])))


def combined_digest(summaries: Iterable[Summary]) -> str:
    """One SHA-256 of the data behind several summaries; "none" when there are none."""
    digests = {summary.dataset: summary.data_digest for summary in summaries}
    return sha256_json(digests) if digests else "none"


def _checked(content: Mapping[str, Any]) -> Summary:
    name = f"{content.get('dataset', 'an unnamed set')}, {content.get('row', 'no row')}"
    origin, hint = f"the summary of {name}", "Evaluate that set again."
    return check_fields(Summary, content, origin, hint=hint, kind=DataError)


def _refuse_two_digests(summaries: Iterable[Summary]) -> None:
    first: dict[str, Summary] = {}
    for summary in summaries:
        other = first.setdefault(summary.dataset, summary)
        if other.data_digest != summary.data_digest:
            raise DataError(
                f"{summary.dataset} was scored on two versions of its data: {other.row} on "
                f"{other.data_digest}, {summary.row} on {summary.data_digest}.",
                "Evaluate all rows on the same data.",
            )


def _name(key: ResultKey) -> str:
    dataset, row, ratio = key
    return f"{dataset}, {row}" + ("" if ratio is None else f", {ratio:02d} %")


def _known_rows(key: ResultKey, known: set[ResultKey]) -> str:
    dataset = key[0]
    rows = sorted({_name(other).partition(", ")[2] for other in known if other[0] == dataset})
    if rows:
        return f"{dataset} has cells for: {'; '.join(rows)}."
    datasets = ", ".join(sorted({other[0] for other in known}))
    return f"The tables have cells for the test sets {datasets}."
