"""Comparison of the results in the working tree with those of the commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dgunet.project import ProjectFolders
from dgunet.steps.drift import TOLERANCES, CellPair, paired, scores_in
from dgunet.system.git import git_output, run_git

OTHER_BITS = (
    "Another build of torch, a CPU without AVX2 and `runtime.kernels: fastest` change the last bits"
    " of a training; a larger difference has a cause in code, data or settings."
)
DECIDES = ("dgunet", "params.yaml", "data.dvc", "dvc.yaml", "pipelines")
"""What decides the results; a tree that differs from the commit here may have other ones."""


_NO_LOCKS = ":(exclude)pipelines/*/dvc.lock"  # written by `dvc repro` itself


@dataclass(frozen=True)
class Comparison:
    """Results of the working tree beside those of the commit.

    Attributes:
        lines: for people: cells and output files that equal the commit's.
        unexplained: whether a cell differs although the tree decides what the commit decides.
    """

    lines: list[str]
    unexplained: bool = False


def compare_with_commit(here: ProjectFolders, profile: str) -> Comparison:
    """Compare the results with those of ``HEAD``: the end of a reproduction.

    Args:
        here: folders of the project, with the origin of the weights.
        profile: profile of the results.
    """
    folder = here.committed_scores(profile)
    shown = folder.relative_to(here.home).as_posix()
    commit = git_output(here.home, "rev-parse", "--short", "HEAD")
    if commit is None:
        return Comparison(
            [f"not compared with a commit: {here.home} has none (a clone of the project has)"]
        )
    committed = _committed_scores(here.home, shown)
    if not committed:
        return Comparison([f"not compared with commit {commit}: it has no {shown}"])
    pairs = paired(committed, scores_in(folder))
    equal = sum(pair.same for pair in pairs)
    head = f"{equal} of {len(pairs)} cells equal the committed values ({shown}, commit {commit})"
    changed = git_output(here.home, "status", "--porcelain", "--", *DECIDES, _NO_LOCKS) != ""
    real = [pair for pair in pairs if pair.differs]
    lines = [head, *_difference_lines(pairs, real, changed), *_output_lines(here)]
    return Comparison(lines, bool(real) and not changed)


def _difference_lines(pairs: list[CellPair], real: list[CellPair], changed: bool) -> list[str]:
    other = [pair for pair in pairs if not pair.same]
    if not other:
        return []
    worst = max(other, key=lambda pair: (pair.differs, pair.size))
    lines = [f"the largest difference: {worst.name} is {worst.second}, committed {worst.first}"]
    if close := [pair.digits or 0 for pair in other if not pair.differs]:
        lines.append(f"cells that are the same to {min(close)} digits or more: {len(close)}")
    if not real:
        return [*lines, OTHER_BITS]
    limits = ", ".join(f"{name} {limit:g}" for name, limit in TOLERANCES.items())
    lines.append(f"cells that differ by more than the last bits explain ({limits}): {len(real)}")
    if changed:
        names = ", ".join(DECIDES)
        return [*lines, f"as may be expected: the working tree differs from the commit in {names}"]
    return [*lines, OTHER_BITS]


def _committed_scores(home: Path, folder: str) -> dict[str, Mapping[str, Any]]:
    """The scores of ``HEAD`` by evaluation; those that are not JSON are left out."""
    listed = git_output(home, "ls-tree", "--name-only", "HEAD", f"{folder}/") or ""
    scores: dict[str, Mapping[str, Any]] = {}
    for path in (name for name in listed.splitlines() if name.endswith(".json")):
        text = git_output(home, "show", f"HEAD:{path}")
        try:
            content = json.loads(text or "")
        except ValueError:
            continue
        if isinstance(content, dict):
            scores[Path(path).stem] = content
    return scores


def _output_lines(here: ProjectFolders) -> list[str]:
    """The verdict on the bits of all outputs of the DVC stages that both lock files name."""
    committed: dict[str, _Stage] = {}
    found: dict[str, _Stage] = {}
    for name in ("dvc.lock", f"pipelines/{here.weights}/dvc.lock"):
        done = run_git(here.home, "show", f"HEAD:{name}")
        path = here.home / name
        if done is None or done.returncode or not path.is_file():
            continue
        committed |= _stages(done.stdout)
        found |= _stages(path.read_text(encoding="utf-8"))
    before, now = _outputs(committed), _outputs(found)
    common = [path for path in before if path in now]
    other = {path for path in common if before[path] != now[path]}
    if not common:
        return []
    if not other:
        return [f"bit for bit: all {len(common)} outputs in dvc.lock are those of the commit"]
    # The causes: stages with other outputs although none of their inputs is such an output.
    causes = [
        stage
        for stage, files in found.items()
        if other & set(files.outs) and not other & set(files.deps)
    ]
    return [
        f"not bit for bit: {len(other)} of {len(common)} outputs in dvc.lock differ;"
        f" the differences begin in {', '.join(causes[:3])}"
        + (f" and {len(causes) - 3} more stages" if len(causes) > 3 else "")
    ]


class _Stage(NamedTuple):
    """Paths of a stage's dependencies, and MD5 of its outputs by path."""

    deps: list[str]
    outs: dict[str, str]


def _stages(lock: str) -> dict[str, _Stage]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(lock, Loader=loader)  # noqa: S506 - one of the safe loaders
    return {
        name: _Stage(
            [each["path"] for each in stage.get("deps", ())],
            {each["path"]: each["md5"] for each in stage.get("outs", ())},
        )
        for name, stage in content["stages"].items()
    }


def _outputs(stages: Mapping[str, _Stage]) -> dict[str, str]:
    return {path: md5 for stage in stages.values() for path, md5 in stage.outs.items()}
