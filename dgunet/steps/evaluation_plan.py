"""The evaluations that a command requests, with a check for missing files before the first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.network import load_network
from dgunet.project import ProjectFolders, model_key, test_sets
from dgunet.system.errors import CheckpointError, ConfigError, DataError
from dgunet.terms import ABLATION_SET, ABLATION_VARIANT, CS_RATIOS, ablation


@dataclass(frozen=True)
class PlannedEvaluation:
    """One test set and the networks to score on it.

    Attributes:
        dataset: name of the test set.
        variant: ``DGUNet`` or ``DGUNet+``.
        models: weights by compressive-sensing ratio; other tasks have the one key ``None``.
        store: the prepared set.
        out: folder of the results.
        ablation: key of the ablation, "" for a network of Tables 1-4.
    """

    dataset: str
    variant: str
    models: dict[int | None, Path]
    store: Path
    out: Path
    ablation: str = ""


def plan_evaluations(
    sets: str,
    here: ProjectFolders,
    *,
    variant: str | None = None,
    checkpoint: Path | None = None,
    ratio: int | None = None,
    stores: Path | None = None,
    out: Path | None = None,
) -> list[PlannedEvaluation]:
    """Resolve ``--sets`` and the other options to evaluations, in the catalogue's order.

    Args:
        sets: names separated by commas, or ``all``: the twelve test sets, or with a checkpoint
            those of its task.
        here: folders of the project.
        variant: variant of the networks; None for the checkpoint's, or ``DGUNet``.
        checkpoint: weights to score; None for the project's own.
        ratio: compressive-sensing ratio in percent; None for the checkpoint's, or all five.
        stores: folder of the prepared sets; None for the project's.
        out: folder of the results; None for the project's.

    Raises:
        DataError: for an unknown test set, or if sets are not prepared; the message lists them.
        CheckpointError: if weights are missing (the message lists them), or for test sets of
            another task.
        ConfigError: for a ratio without a test set of compressive sensing.
    """
    names = test_sets(sets)
    if checkpoint is not None:
        config = load_network(checkpoint)[0].config
        others = [name for name in names if CATALOGUE[name].task != config.task]
        if others and sets != "all":
            raise CheckpointError(
                f"{checkpoint} is a network for {config.task}; {', '.join(others)} "
                f"{'are' if len(others) > 1 else 'is'} for {CATALOGUE[others[0]].task}.",
                "Name test sets of its task, or use --sets all for all of them.",
            )
        names = [name for name in names if name not in others]
        variant, ratio = variant or config.variant, ratio or config.ratio
    if ratio is not None and not any(CATALOGUE[name].task == "cs" for name in names):
        raise ConfigError(
            f"--ratio {ratio} is for compressive sensing, not for {', '.join(names)}.",
            "Omit it, or name Set11 or BSD68.",
        )
    wanted = [
        _planned(name, here, variant or "DGUNet", checkpoint, ratio, stores, out) for name in names
    ]
    _refuse_missing_stores(wanted)
    _refuse_missing_weights(wanted)
    return wanted


def plan_ablation(
    name: str,
    here: ProjectFolders,
    *,
    checkpoint: Path | None = None,
    stores: Path | None = None,
    out: Path | None = None,
) -> PlannedEvaluation:
    """Resolve ``--ablation`` to the evaluation of that network on Rain100H.

    Args:
        name: key of the ablation.
        here: folders of the project.
        checkpoint: weights to score; None for the project's own.
        stores: folder of the prepared sets; None for the project's.
        out: folder of the results, which get a folder of their own in it; None for the project's.

    Raises:
        ConfigError: for an unknown name, or without a checkpoint if the authors published none.
        DataError: if Rain100H is not prepared.
        CheckpointError: if the weights are missing.
    """
    ablation(name)
    planned = PlannedEvaluation(
        ABLATION_SET,
        ABLATION_VARIANT,
        {None: checkpoint or here.ablation_network(name) / "network.safetensors"},
        stores / ABLATION_SET if stores else here.store(ABLATION_SET),
        out / name if out else here.ablation(name),
        name,
    )
    _refuse_missing_stores([planned])
    _refuse_missing_weights([planned])
    return planned


def _planned(
    name: str,
    here: ProjectFolders,
    variant: str,
    checkpoint: Path | None,
    ratio: int | None,
    stores: Path | None,
    out: Path | None,
) -> PlannedEvaluation:
    task = CATALOGUE[name].task
    ratios = ((ratio,) if ratio is not None else CS_RATIOS) if task == "cs" else (None,)
    return PlannedEvaluation(
        name,
        variant,
        {
            each: checkpoint or here.model(model_key(task, variant, each)) / "network.safetensors"
            for each in ratios
        },
        stores / name if stores else here.store(name),
        out / f"{name}-{variant}" if out else here.evaluation(name, variant),
    )


def _refuse_missing_stores(wanted: list[PlannedEvaluation]) -> None:
    here = [each for each in wanted if (each.store / "manifest.json").is_file()]
    missing = [f"{each.dataset} ({each.store})" for each in wanted if each not in here]
    if missing:
        rest = f", or evaluate those that are: --sets {','.join(e.dataset for e in here)}"
        raise DataError(
            f"{len(missing)} of {len(wanted)} test sets are not prepared: {', '.join(missing)}.",
            f"Prepare them with `dgunet data prepare NAME`{rest if here else ''}.",
        )


def _refuse_missing_weights(wanted: list[PlannedEvaluation]) -> None:
    needed = dict.fromkeys(path for each in wanted for path in each.models.values())
    missing = [path for path in needed if not path.is_file()]
    if missing:
        raise CheckpointError(
            f"{len(missing)} of {len(needed)} weights files are missing: "
            f"{', '.join(map(str, missing))}.",
            "Train them with `dgunet train`, or give --checkpoint FILE.",
        )
