"""The terms that every part of the project shares: tasks, variants, ablations, states, run tags.

One place says which tasks, variants, compressive-sensing ratios and ablations the paper has, which
states an evaluation and a table cell can have, and how the tags of a run are called. Everything
else imports them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from dgunet.system.errors import ConfigError

Task = Literal["derain", "deblur", "denoise", "cs"]
"""Deraining, deblurring, denoising and compressive sensing (Tables 1 to 4)."""

Variant = Literal["DGUNet", "DGUNet+"]
"""``DGUNet`` shares the parameters of its middle stages, ``DGUNet+`` does not (Section 3.4)."""

Architecture = Literal["released", "paper"]
"""The network as the authors' code builds it, or as the text describes it."""

Profile = Literal["sample", "paper"]
"""Tiny networks on the embedded sample data, or the paper's settings on its data."""

Role = Literal["train", "test"]
"""What a dataset is for."""

TASKS: tuple[Task, ...] = get_args(Task)
VARIANTS: tuple[Variant, ...] = get_args(Variant)
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
PROFILES: tuple[Profile, ...] = get_args(Profile)

CS_RATIOS: tuple[int, ...] = (1, 4, 10, 25, 50)
"""The paper's compressive-sensing ratios in percent (Section 4.5)."""

TABLES: Mapping[Task, int] = MappingProxyType({"derain": 1, "deblur": 2, "denoise": 3, "cs": 4})
"""The table that reports a task."""

EvaluationState = Literal["measured", "partial", "waiting for the server"]
"""Of one evaluation: complete, of a part of the set, or to be scored by DND's server."""

CellState = Literal[
    "published",
    "measured",
    "partial",
    "sample",
    "not run",
    "waiting for the server",
    "not in the paper",
]
"""Of one cell of a generated table."""


@dataclass(frozen=True)
class Ablation:
    """One modified DGUNet+ of Tables 5 and 6.

    Attributes:
        label: what it is, in a few words.
        changes: the fields of the network's configuration that differ from DGUNet+.
        columns: the columns of the paper's tables that report it, by table.
    """

    label: str
    changes: Mapping[str, Any]
    columns: Mapping[int, str]

    @property
    def table(self) -> int:
        """The first table that reports it."""
        return min(self.columns)


ABLATION_TASK: Task = "derain"
ABLATION_VARIANT: Variant = "DGUNet+"
ABLATION_SET = "Rain100H"
"""All modifications are made on DGUNet+ for deraining, and scored on Rain100H (Section 4.6)."""

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

CHECKPOINT_TAG = "checkpoint.sha256"
DATA_TAG = "data.digest"
PROTOCOL_TAG = "protocol"
PARITY_TAG = "parity"
STATE_TAG = "state"
SELECTION_TAG = "selection"
"""Names of tags that a run gets once its results are known."""


@dataclass(frozen=True)
class RunTags:
    """The tags that say what a run is about, before it has any result.

    Attributes:
        stage: the step that made it, such as ``train``.
        profile: ``sample`` or ``paper``; ``none`` where it belongs to no profile.
        task, variant, ratio, dataset: of the network and its test or training set.
        column: of the tables, the test set's name.
        row: of the tables, the variant's or the ablation's name.
        tables: the numbers of the tables that report it.
        more: further tags by name.
    """

    stage: str
    profile: str = "none"
    task: str | None = None
    variant: str | None = None
    ratio: int | None = None
    dataset: str | None = None
    column: str | None = None
    row: str | None = None
    tables: tuple[int, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, str]:
        """The tags by name, texts all of them; what is not known is left out."""
        tags = {
            "stage": self.stage,
            "profile": self.profile,
            "task": self.task,
            "dataset": self.dataset,
            "variant": self.variant,
            "column": self.column,
            "ratio": None if self.ratio is None else str(self.ratio),
            "row": self.row,
            "table": " ".join(map(str, self.tables)) or None,
        }
        return {name: value for name, value in tags.items() if value is not None} | dict(self.more)


def check_task(task: str) -> Task:
    """Return ``task`` if the paper has it.

    Raises:
        ConfigError: listing the tasks.
    """
    for known in TASKS:
        if task == known:
            return known
    raise ConfigError(f"unknown task {task!r}.", f"Tasks are: {', '.join(TASKS)}.")


def ablation(name: str) -> Ablation:
    """Return the ablation called ``name``.

    Raises:
        ConfigError: for an unknown name; the message lists the nine.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"unknown ablation {name!r}.", f"Ablations are: {', '.join(ABLATIONS)}.")
    return ABLATIONS[name]
