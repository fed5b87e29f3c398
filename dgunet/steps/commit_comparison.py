"""Comparison of the results in the working tree with those of the commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dgunet.project import ProjectFolders
from dgunet.system.git import git_output, run_git
from dgunet.system.reading import read_mapping

COMPARED = ("psnr", "ssim")

OTHER_BITS = (
    "Another build of torch, a CPU without AVX2 and `runtime.kernels: fastest` change the last bits"
    " of a training; a larger difference has a cause in code, data or settings."
)


@dataclass(frozen=True)
class Difference:
    """A cell whose value differs from the commit's.

    Attributes:
        cell: evaluation and score, e.g. ``Rain100L-DGUNet psnr``.
        committed: value of the commit; None if it has none.
        found: value of the working tree; None if it has none.
    """

    cell: str
    committed: float | None
    found: float | None

    @property
    def size(self) -> float:
        """Absolute difference; infinite if one of the values is missing."""
        if self.committed is None or self.found is None:
            return float("inf")
        return abs(self.committed - self.found)


def comparison_lines(here: ProjectFolders, profile: str) -> list[str]:
    """The closing lines of a reproduction: cells and output files that equal the commit's.

    Args:
        here: folders of the project, with the origin of the weights.
        profile: profile of the results.
    """
    folder = here.committed_scores(profile)
    shown = folder.relative_to(here.home).as_posix()
    commit = git_output(here.home, "rev-parse", "--short", "HEAD")
    if commit is None:
        return [f"not compared with a commit: {here.home} has none (a clone of the project has)"]
    committed = _committed_scores(here.home, shown)
    if not committed:
        return [f"not compared with commit {commit}: it has no {shown}"]
    found = {
        path.stem: read_mapping(path) for path in sorted(folder.glob("*.json")) if path.is_file()
    }
    before, now = _cells(committed), _cells(found)
    names = dict.fromkeys((*before, *now))
    differing = [
        Difference(name, before.get(name), now.get(name))
        for name in names
        if before.get(name) != now.get(name)
    ]
    head = (
        f"{len(names) - len(differing)} of {len(names)} cells equal the committed values"
        f" ({shown}, commit {commit})"
    )
    return [head, *_difference_lines(differing), *_output_lines(here)]


def _difference_lines(differing: list[Difference]) -> list[str]:
    if not differing:
        return []
    worst = max(differing, key=lambda each: each.size)
    text = f"the largest difference: {worst.cell} is {worst.found}, committed {worst.committed}"
    return [text, OTHER_BITS]


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


def _cells(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {
        f"{name} {score}": content[score]
        for name, content in scores.items()
        for score in COMPARED
        if score in content
    }


def _output_lines(here: ProjectFolders) -> list[str]:
    """The verdict on the bits of all outputs of the DVC stages that both lock files name."""
    committed: dict[str, str] = {}
    found: dict[str, str] = {}
    for name in ("dvc.lock", f"pipelines/{here.weights}/dvc.lock"):
        done = run_git(here.home, "show", f"HEAD:{name}")
        path = here.home / name
        if done is None or done.returncode or not path.is_file():
            continue
        committed |= _outputs(done.stdout)
        found |= _outputs(path.read_text(encoding="utf-8"))
    common = [path for path in committed if path in found]
    other = [path for path in common if committed[path] != found[path]]
    if not common:
        return []
    if not other:
        return [f"bit for bit: all {len(common)} outputs in dvc.lock are those of the commit"]
    return [
        f"not bit for bit: {len(other)} of {len(common)} outputs in dvc.lock differ: {other[0]}"
    ]


def _outputs(lock: str) -> dict[str, str]:
    """The MD5 of each output that a lock file names."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(lock, Loader=loader)  # noqa: S506 - one of the safe loaders
    return {
        out["path"]: out["md5"]
        for stage in content["stages"].values()
        for out in stage.get("outs", ())
    }
