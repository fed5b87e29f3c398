"""Registered models, one for each task: what may be called the best, and on what evidence."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dgunet.paper.comparison import SetComparison, as_table, compare_sets, is_better
from dgunet.project import EXPERIMENTS, model_key
from dgunet.system.errors import CheckpointError, ConfigError, EvaluationError
from dgunet.terms import CHECKPOINT_TAG, TABLES, RunTags, check_task
from dgunet.tracking import TrackingError, start_run
from dgunet.tracking.registry import BEST, CANDIDATE, OFFICIAL, Evidence, Registry, Version


def registered_name(task: str, profile: str, ratio: int | None = None) -> str:
    """``dgunet-derain``, ``dgunet-cs-r10``; the sample's are apart: ``dgunet-sample-derain``."""
    model_key(check_task(task), "DGUNet", ratio)  # refuses a ratio too many or too few
    parts = ["dgunet", "sample" if profile == "sample" else "", task, f"r{ratio}" if ratio else ""]
    return "-".join(part for part in parts if part)


def register_trained(
    registry: Registry, task: str, *, profile: str, variant: str, ratio: int | None = None
) -> Version:
    """Make the newest finished training a version of its task's registered model.

    Its alias is @candidate. A network that is registered already stays the version it is.

    Raises:
        TrackingError: if MLflow has no such training.
    """
    name = registered_name(task, profile, ratio)
    tags = RunTags("train", profile, task, variant, ratio).to_dict()
    checkpoint = registry.trained(tags)
    if checkpoint is None:
        key = model_key(task, variant, ratio)
        raise TrackingError(
            f"MLflow has no finished training of {key} (profile {profile}).",
            f"Train it, or send what waits: dgunet train {task} / dgunet tracking sync",
        )
    del tags["stage"]
    version = registry.register(name, checkpoint, tags=tags, description=_about(task, profile))
    registry.set_alias(version, CANDIDATE)
    return version


@dataclass(frozen=True)
class Promotion:
    """What came of asking whether a version is the best one.

    Attributes:
        version: the candidate.
        baseline: the version it was compared with; None: the degraded images themselves.
        compared: set by set.
        promoted: whether the candidate is better.
    """

    version: Version
    baseline: Version | None
    compared: list[SetComparison]
    promoted: bool

    def text(self) -> str:
        """The verdict and its table, in Markdown."""
        baseline = (
            f"@{BEST} before it, version {self.baseline.number}"
            if self.baseline
            else "the degraded images, there being no version before it"
        )
        verdict = "better than" if self.promoted else "not shown to be better than"
        return (
            f"Version {self.version.number} is {verdict} {baseline}. PSNR, paired image by image, "
            f"BCa bootstrap, all intervals together 95 %:\n\n"
            f"{as_table(self.compared).to_markdown(index=False)}"
        )


def promote_if_better(registry: Registry, version: Version, *, dry_run: bool = False) -> Promotion:
    """Let @best point to ``version`` if it is better than @best, and only then.

    Better: on at least one test set the interval of the mean PSNR difference is above zero, and
    on every other one it holds zero. The first version must so be better than the degraded
    images. Both must have been scored on the same sets, data and protocol.

    Raises:
        EvaluationError: if evaluations are missing, or are of other data or another protocol.
    """
    baseline = registry.with_alias(version.name, BEST)
    if baseline is not None and baseline.number == version.number:
        raise EvaluationError(f"{version.uri} is @{BEST} already.", "Register another training.")
    ours = registry.evidence(version.checkpoint)
    if not ours:
        raise EvaluationError(
            f"MLflow has no evaluation of {version.uri} (weights {version.checkpoint[:12]}...).",
            "Run: dgunet evaluate, then dgunet tracking sync",
        )
    theirs = registry.evidence(baseline.checkpoint) if baseline else ours
    _refuse_unequal(ours, theirs)
    tables = {name: (_table(registry, ours[name]), _table(registry, theirs[name])) for name in ours}
    column = "psnr" if baseline else "input_psnr"
    compared = compare_sets(tables, reference_column=column)
    outcome = Promotion(version, baseline, compared, is_better(compared))
    if outcome.promoted and not dry_run:
        registry.set_alias(version, BEST, because=outcome.text())
    return outcome


def add_official(registry: Registry, weights: Path) -> Version:
    """Log the authors' own weights as a run and a model, and register them as @official.

    Args:
        registry: of the store.
        weights: as ``dgunet checkpoint import`` wrote them.

    Raises:
        CheckpointError: if the weights do not say that they were imported.
    """
    from dgunet import network
    from dgunet.network.official import REPOSITORY
    from dgunet.system import files

    net, origin = network.load_network(weights)
    if not origin.get("origin_format", "").startswith(REPOSITORY):
        raise CheckpointError(
            f"{weights} was not imported from the authors' format.",
            "Make it with: dgunet checkpoint import FILE --out NEW",
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
    """A version by its number, or the candidate.

    Raises:
        ConfigError: if there is none.
    """
    versions = registry.versions(name)
    for version in versions:
        if version.number == number or (number is None and CANDIDATE in version.aliases):
            return version
    known = ", ".join(version.number for version in versions) or "none"
    raise ConfigError(
        f"{name} has no version {number or '@' + CANDIDATE}; there is {known}.",
        "Register one: dgunet models register",
    )


def _about(task: str, profile: str) -> str:
    sample = " Tiny networks of the sample profile, not the paper's." if profile == "sample" else ""
    return f"DGUNet for {task} (Table {TABLES[check_task(task)]} of the paper).{sample}"


def _refuse_unequal(ours: Mapping[str, Evidence], theirs: Mapping[str, Evidence]) -> None:
    if missing := sorted(set(ours) ^ set(theirs)):
        raise EvaluationError(
            f"only one of both was evaluated on {', '.join(missing)}.", "Evaluate the other too."
        )
    for name, mine in ours.items():
        other = theirs[name]
        for field in ("data_digest", "protocol", "parity"):
            if getattr(mine, field) != getattr(other, field):
                raise EvaluationError(
                    f"{name}: {field} is {getattr(mine, field)} for one and "
                    f"{getattr(other, field)} for the other.",
                    "Evaluate both alike.",
                )


def _table(registry: Registry, evidence: Evidence) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(registry.per_image(evidence)))
