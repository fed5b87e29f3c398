"""Registered models, one for each task, and the promotion of significantly better versions."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dgunet.paper.comparison import (
    SetComparison,
    Verdict,
    as_table,
    compare_sets,
    is_better,
)
from dgunet.project import EXPERIMENTS, model_key
from dgunet.system.errors import CheckpointError, ConfigError, EvaluationError
from dgunet.terms import CHECKPOINT_TAG, TABLES, RunTags, check_task
from dgunet.tracking import TrackingError, start_run
from dgunet.tracking.registry import BEST, CANDIDATE, OFFICIAL, Evaluation, Registry, Version

INFINITE: Verdict = "infinite difference"

COVERAGE = (
    "In simulations all intervals contained their true means in at least 94 % of the cases for "
    "symmetric differences, 89 % for exponential and 79 % for log-normal ones; promotions "
    "without a true difference were at most 2.7 %, 10.3 % and 20.2 % (nominal 2.5 %; 10 to 100 "
    "images, 1 to 5 sets)."
)
"""What is known of the nominal confidence; from `python -m benchmarks.coverage`."""


def registered_name(task: str, profile: str, ratio: int | None = None) -> str:
    """The name of a registered model, e.g. ``dgunet-cs-r10`` or ``dgunet-sample-derain``.

    Raises:
        ConfigError: for a ratio without compressive sensing, or the reverse.
    """
    model_key(check_task(task), "DGUNet", ratio)  # checks the ratio
    parts = ["dgunet", "" if profile == "paper" else profile, task, f"r{ratio}" if ratio else ""]
    return "-".join(part for part in parts if part)


def register_trained(
    registry: Registry, task: str, *, profile: str, variant: str, ratio: int | None = None
) -> Version:
    """Register the newest finished training as a version of its task's model, as @candidate.

    A network that is already registered keeps its version.

    Raises:
        TrackingError: if MLflow has no such training.
    """
    name = registered_name(task, profile, ratio)
    tags = RunTags("train", profile, task, variant, ratio).to_dict()
    checkpoint = registry.newest_training(tags)
    if checkpoint is None:
        key = model_key(task, variant, ratio)
        raise TrackingError(
            f"MLflow has no finished training of {key} (profile {profile}).",
            f"Train it (dgunet train {task}), or send waiting runs (dgunet tracking sync).",
        )
    del tags["stage"]
    version = registry.register(name, checkpoint, tags=tags, description=_about(task, profile))
    registry.set_alias(version, CANDIDATE)
    return version


@dataclass(frozen=True)
class Promotion:
    """The outcome of a comparison of a version with the best one.

    Attributes:
        version: the candidate.
        baseline: the version it was compared with; None for the degraded images.
        compared: one comparison for each test set.
        promoted: whether the candidate is significantly better.
        left_out: comparisons of the test sets that the user left out; see `promote_if_better`.
    """

    version: Version
    baseline: Version | None
    compared: list[SetComparison]
    promoted: bool
    left_out: tuple[SetComparison, ...] = ()

    def text(self) -> str:
        """The conclusion and its table, in Markdown."""
        baseline = (
            f"@{BEST} so far, version {self.baseline.number}"
            if self.baseline
            else "the degraded images, because there is no previous version"
        )
        conclusion = "better than" if self.promoted else "not shown to be better than"
        return (
            f"Version {self.version.number} is {conclusion} {baseline}. PSNR, paired image by "
            f"image; the outer of Student's t and bootstrap-t intervals, nominally 95 % for all "
            f"sets together. {COVERAGE}\n\n"
            f"{as_table(self.compared).to_markdown(index=False)}{self._remark()}"
        )

    def _remark(self) -> str:
        """What was left out, and what can be done about infinite differences."""
        text = ""
        if self.left_out:
            names = ", ".join(
                f"{c.dataset} ({c.identical} and {c.baseline_identical} identical images of "
                f"{c.images})"
                for c in self.left_out
            )
            text += f"\n\nLeft out, because the difference is infinite: {names}."
        if found := [c.dataset for c in self.compared if c.verdict == INFINITE]:
            options = " ".join(f"--without {name}" for name in found)
            text += (
                f"\n\nOne of the two restores images of {', '.join(found)} identically, so that "
                f"PSNR and mean difference are infinite. Decide on the other sets with: {options}"
            )
        return text


def promote_if_better(
    registry: Registry, version: Version, *, without: Collection[str] = (), dry_run: bool = False
) -> Promotion:
    """Move the alias @best to ``version`` if it is significantly better than the present @best.

    Significantly better means: the confidence interval of the mean PSNR difference is above zero on
    at least one test set and below zero on none. The first version is compared with the
    degraded images. Both versions must be evaluated on the same datasets with the same protocols.

    Args:
        registry: the model registry of the MLflow store.
        version: the candidate.
        without: test sets that are left out because their mean difference is infinite.
        dry_run: compare only.

    Raises:
        EvaluationError: if evaluations are missing, or differ in data or protocol; if a set of
            ``without`` has no infinite difference, or none is left.
    """
    baseline = registry.with_alias(version.name, BEST)
    if baseline is not None and baseline.number == version.number:
        raise EvaluationError(f"{version.uri} is already @{BEST}.", "Register another training.")
    own = registry.evidence(version.checkpoint)
    if not own:
        raise EvaluationError(
            f"MLflow has no evaluation of {version.uri} (weights {version.checkpoint[:12]}...).",
            "Run: dgunet evaluate, then dgunet tracking sync",
        )
    theirs = registry.evidence(baseline.checkpoint) if baseline else own
    _check_comparable(own, theirs)
    tables = {name: (_table(registry, own[name]), _table(registry, theirs[name])) for name in own}
    column = "psnr" if baseline else "input_psnr"
    compared = compare_sets(tables, baseline_column=column)
    _check_left_out(compared, without)
    left_out = tuple(c for c in compared if c.dataset in without)
    if left_out:  # fewer intervals share the confidence
        tables = {name: pair for name, pair in tables.items() if name not in without}
        compared = compare_sets(tables, baseline_column=column)
    outcome = Promotion(version, baseline, compared, is_better(compared), left_out)
    if outcome.promoted and not dry_run:
        registry.set_alias(version, BEST, because=outcome.text())
    return outcome


def add_official(registry: Registry, weights: Path) -> Version:
    """Log the weights released by the authors as a run and a model; register them as @official.

    Args:
        registry: the model registry of the MLflow store.
        weights: a file that ``dgunet checkpoint import`` wrote.

    Raises:
        CheckpointError: if the file was not written by that command.
    """
    from dgunet import network
    from dgunet.network.official_names import REPOSITORY
    from dgunet.system import files

    net, origin = network.load_network(weights)
    if not origin.get("origin_format", "").startswith(REPOSITORY):
        raise CheckpointError(
            f"{weights} was not imported from the authors' format.",
            "Import it with: dgunet checkpoint import FILE --out NEW",
        )
    config = net.config
    key = model_key(config.task, config.variant, config.ratio)
    tags = RunTags(
        "import",
        "paper",
        config.task,
        config.variant,
        config.ratio,
        row=config.variant,
        tables=(TABLES[config.task],),
        more={CHECKPOINT_TAG: files.sha256_file(weights)},
    ).to_dict()
    name = registered_name(config.task, "paper", config.ratio)
    with start_run(
        EXPERIMENTS[config.task], f"official {key}", tags=tags, params=origin, closing=True
    ) as run:
        run.log_network(weights, f"{key}-official", channels=config.channels)
    version = registry.register(
        name,
        tags[CHECKPOINT_TAG],
        tags={key: tags[key] for key in ("task", "variant", "profile")} | origin,
        description=_about(config.task, "paper"),
    )
    registry.set_alias(version, OFFICIAL)
    return version


def find_version(registry: Registry, name: str, number: str | None) -> Version:
    """The version with this number; for None the candidate.

    Raises:
        ConfigError: if it does not exist.
    """
    versions = registry.versions(name)
    for version in versions:
        if version.number == number or (number is None and CANDIDATE in version.aliases):
            return version
    known = ", ".join(version.number for version in versions) or "none"
    raise ConfigError(
        f"{name} has no version {number or '@' + CANDIDATE}; existing versions: {known}.",
        "Register one with: dgunet models register",
    )


def _about(task: str, profile: str) -> str:
    about = f"DGUNet for {task} (Table {TABLES[check_task(task)]} of the paper)."
    if profile == "paper":
        return about
    return f"{about} Small networks of the {profile} profile, not the paper's."


def _check_comparable(ours: Mapping[str, Evaluation], theirs: Mapping[str, Evaluation]) -> None:
    if missing := sorted(set(ours) ^ set(theirs)):
        raise EvaluationError(
            f"only one of the two versions was evaluated on {', '.join(missing)}.",
            "Evaluate the other one as well.",
        )
    for name, mine in ours.items():
        other = theirs[name]
        for field in ("data_digest", "protocol", "parity"):
            if getattr(mine, field) != getattr(other, field):
                raise EvaluationError(
                    f"{name}: {field} is {getattr(mine, field)} for one and "
                    f"{getattr(other, field)} for the other.",
                    "Evaluate both with the same data and protocol.",
                )


def _check_left_out(compared: Collection[SetComparison], without: Collection[str]) -> None:
    """Allow no set to be left out but those that cannot be compared."""
    verdicts = {c.dataset: c.verdict for c in compared}
    if strange := sorted(set(without) - set(verdicts)):
        raise EvaluationError(
            f"--without {strange[0]}: it is not among the compared sets.",
            f"These are {', '.join(sorted(verdicts))}.",
        )
    for name in without:
        if verdicts[name] != INFINITE:
            raise EvaluationError(
                f"--without {name}: its difference is finite, so it must be compared.",
                f"Omit the option; the verdict on {name} is: {verdicts[name]}.",
            )
    if set(verdicts) == set(without):
        raise EvaluationError(
            "--without leaves no test set to compare on.", "Evaluate both on a further test set."
        )


def _table(registry: Registry, evidence: Evaluation) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(registry.per_image(evidence)))
