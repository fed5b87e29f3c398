"""Terms shared by all packages: tasks, variants, ablations, states and tags of runs.

This module is the only definition of the paper's tasks, variants, compressive-sensing ratios and
ablations, of the states of evaluations and table cells, and of the names of run tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from dgunet.system.errors import ConfigError

Task = Literal["derain", "deblur", "denoise", "cs"]
"""Deraining, deblurring, denoising and compressive sensing (Tables 1 to 4)."""

Variant = Literal["DGUNet", "DGUNet+"]
"""``DGUNet`` shares the parameters of its middle stages, ``DGUNet+`` does not (Section 3.4)."""

Backend = Literal["eager", "channels-last", "compile", "onnxruntime", "openvino", "ncnn"]
"""What computes a network's inference; "eager" is plain torch. See `dgunet.backends`."""

EAGER: Backend = "eager"
"""The default backend, the only one whose results have parity."""

Architecture = Literal["released", "paper"]
"""The network as the authors' code builds it, or as the paper's text describes it."""

WeightsOrigin = Literal["trained", "released"]
"""Networks trained by this project, or the authors' published weights."""

Profile = Literal["sample", "reduced", "paper"]
"""Tiny networks on the embedded sample data, small ones on the original test sets, or the paper's
settings on its data."""

TABLE_PROFILES: tuple[Profile, ...] = ("sample", "paper")
"""The profiles of which tables are made; `dgunet claims` judges the reduced one."""

Role = Literal["train", "test"]
"""The use of a dataset."""

TASKS: tuple[Task, ...] = get_args(Task)
ORIGINS: tuple[WeightsOrigin, ...] = get_args(WeightsOrigin)
VARIANTS: tuple[Variant, ...] = get_args(Variant)
BACKENDS: tuple[Backend, ...] = get_args(Backend)
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

CS_RATIOS: tuple[int, ...] = (1, 4, 10, 25, 50)
"""The paper's compressive-sensing ratios in percent (Section 4.5)."""

TABLES: Mapping[Task, int] = MappingProxyType({"derain": 1, "deblur": 2, "denoise": 3, "cs": 4})
"""The paper's table with the results of each task."""

EvaluationState = Literal["measured", "partial", "waiting for the server"]
"""State of an evaluation: complete, on a part of the dataset, or to be scored by DND's server."""

Weights = Literal["released", "trained", "other"]
"""Origin of weights: a file in the authors' format, a training of this project, or unknown."""

TRAINING_SETS: Mapping[Task, str] = MappingProxyType(
    {
        "derain": "Rain13K",
        "deblur": "GoPro-train",
        "denoise": "SIDD-train",
        "cs": "BSD400",
    }
)
"""The training set of each task (Sections 4.2 to 4.5)."""

CellState = Literal[
    "published",
    "measured",
    "partial",
    "infinite",
    "sample",
    "not run",
    "waiting for the server",
    "not in the paper",
]
"""State of a cell of a generated table."""

CellVerdict = Literal[
    "reproduced",
    "close",
    "differs",
    "infinite",
    "partial",
    "not run",
    "waiting for the server",
    "not comparable",
    "no published value",
]
"""Verdict on one of our cells; `dgunet.paper.verdicts` has the rule."""


@dataclass(frozen=True)
class Ablation:
    """A modified DGUNet+ of Table 5 or 6.

    Attributes:
        label: short description.
        changes: fields of the network configuration that differ from DGUNet+, with their values.
        columns: name of its column in each of the paper's tables that have it.
    """

    label: str
    changes: Mapping[str, Any]
    columns: Mapping[int, str]


ABLATION_TASK: Task = "derain"
ABLATION_VARIANT: Variant = "DGUNet+"
ABLATION_SET = "Rain100H"
"""The ablations modify DGUNet+ for deraining and are evaluated on Rain100H (Section 4.6)."""

ABLATIONS: Mapping[str, Ablation] = MappingProxyType(
    {
        "stages-9": Ablation("9 stages", {"stages": 9}, {5: "9 stages, 3 scales"}),
        "stages-7": Ablation(
            "7 stages (the paper's choice)", {}, {5: "7 stages, 3 scales", 6: "DGUNet+"}
        ),
        "stages-5": Ablation("5 stages", {"stages": 5}, {5: "5 stages, 3 scales"}),
        "stages-3": Ablation("3 stages", {"stages": 3}, {5: "3 stages, 3 scales"}),
        "scales-2": Ablation("2 scales fused", {"fusion_scales": 2}, {5: "7 stages, 2 scales"}),
        "scales-1": Ablation("1 scale fused", {"fusion_scales": 1}, {5: "7 stages, 1 scale"}),
        "without-fgdm": Ablation("w/o FGDM", {"gradient": False}, {6: "w/o FGDM"}),
        "without-sp": Ablation("w/o SP", {"fusion": "addition"}, {6: "w/o SP"}),
        "without-isff": Ablation("w/o ISFF", {"fusion": "none"}, {6: "w/o ISFF"}),
    }
)
"""The nine networks of Tables 5 and 6; ``stages-7`` is the unmodified DGUNet+, in both tables."""

RELEASED_ABLATIONS = ("stages-7",)
"""The networks of Tables 5 and 6 whose weights the authors published: DGUNet+ itself."""

TABLE_TAG = "table"
CHECKPOINT_TAG = "checkpoint.sha256"
DATA_TAG = "data.digest"
PROTOCOL_TAG = "protocol"
PARITY_TAG = "parity"
STATE_TAG = "state"
SELECTION_TAG = "selection"
WEIGHTS_TAG = "weights"
"""Names of the tags that describe a run: its tables, numbers with spaces between them; what it used
and what its results are."""


@dataclass(frozen=True)
class RunTags:
    """The tags that identify a run before it has results.

    Attributes:
        stage: the step that created the run, such as ``train``.
        profile: ``sample`` or ``paper``; ``none`` if the run belongs to no profile.
        task: task of the network.
        variant: variant of the network.
        ratio: sampling ratio in percent, for compressive sensing.
        dataset: name of the dataset; for a test set also the column of the tables.
        row: row of the tables: the variant or the ablation.
        tables: numbers of the tables that contain the result.
        more: further tags by name.
    """

    stage: str
    profile: str = "none"
    task: str | None = None
    variant: str | None = None
    ratio: int | None = None
    dataset: str | None = None
    row: str | None = None
    tables: tuple[int, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, str]:
        """Return the tags by name; values are strings, and unknown ones are omitted."""
        tags = {
            "stage": self.stage,
            "profile": self.profile,
            "task": self.task,
            "dataset": self.dataset,
            "variant": self.variant,
            "ratio": None if self.ratio is None else str(self.ratio),
            "row": self.row,
            TABLE_TAG: " ".join(map(str, self.tables)) or None,
        }
        return {name: value for name, value in tags.items() if value is not None} | dict(self.more)


def check_task(task: str) -> Task:
    """Return ``task`` if it is one of `TASKS`.

    Raises:
        ConfigError: for an unknown task; the message lists the tasks.
    """
    for known in TASKS:
        if task == known:
            return known
    raise ConfigError(f"unknown task {task!r}.", f"Tasks are: {', '.join(TASKS)}.")


def check_variant(variant: str) -> Variant:
    """Return ``variant`` if it is one of `VARIANTS`.

    Raises:
        ConfigError: for an unknown variant; the message lists the variants.
    """
    for known in VARIANTS:
        if variant == known:
            return known
    raise ConfigError(f"unknown variant {variant!r}.", f"Variants are: {', '.join(VARIANTS)}.")


def check_profile(profile: str) -> Profile:
    """Return ``profile`` if it is a `Profile`.

    Raises:
        ConfigError: for another text.
    """
    for known in get_args(Profile):
        if profile == known:
            return cast(Profile, known)
    names = ", ".join(get_args(Profile))
    raise ConfigError(f"unknown profile {profile!r}.", f"Profiles are: {names}.")


def ablation(name: str) -> Ablation:
    """Return the ablation called ``name``.

    Raises:
        ConfigError: for an unknown name; the message lists the ablations.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"unknown ablation {name!r}.", f"Ablations are: {', '.join(ABLATIONS)}.")
    return ABLATIONS[name]
