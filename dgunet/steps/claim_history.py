"""When each claim was last changed, from git, and whether that was before the runs that judge it.

The state of a claim in a commit is the digest of everything that it states. Its commit is the
oldest one since which this digest has not changed. A run is later than the claim if the claim's
commit is the run's or an ancestor of it; the times of commits, which anyone can set, do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dgunet.paper.claims import claim_list
from dgunet.system.git import git_output

FixedBefore = Literal["before its runs", "changed after its runs", "unknown"]

UNCOMMITTED = "not committed"


@dataclass
class ClaimHistory:
    """The commits of the claims in the git repository that has the file of claims.

    Attributes:
        commits: by the id of a claim: the commit that last changed it, `UNCOMMITTED` if the file
            states it otherwise than every commit, or None where git does not tell: without a
            repository, and for the oldest commit of a shallow clone.
    """

    folder: Path = field(default_factory=lambda: Path(claim_list.__file__).parent)

    def __post_init__(self) -> None:
        now = claim_list.digests(claim_list.parse(self._path.read_text(encoding="utf-8")))
        self.commits: dict[str, str | None] = dict.fromkeys(now)
        self._known: dict[tuple[str, str], bool] = {}
        listed = git_output(self.folder, "log", "--format=%H", "--", claim_list.NAME)
        if not listed:
            return
        shallow = (git_output(self.folder, "rev-parse", "--is-shallow-repository") or "") != "false"
        every = listed.split()
        current: set[str] = set(now)
        for number, commit in enumerate(every):
            there = self._digests(commit)
            changed = {name for name in current if there.get(name) != now[name]}
            for name in changed:
                self.commits[name] = every[number - 1] if number else UNCOMMITTED
            current -= changed
        for name in current:
            self.commits[name] = None if shallow else every[-1]

    def fixed(self, claim: str, runs: Iterable[str | None]) -> FixedBefore:
        """Whether a claim is in the commits of all ``runs`` as it is now.

        Args:
            claim: its id.
            runs: commits of the runs that judge it; None or another text for an unknown one.

        Returns:
            "changed after its runs" if one run's commit is older than the claim's, or the claim is
            not committed; "unknown" without a commit of a run, and for unrelated commits.
        """
        commit, given = self.commits.get(claim), list(runs)
        if commit is None or not given:
            return "unknown"
        if commit == UNCOMMITTED:
            return "changed after its runs"
        before = [run is not None and self._contains(run, commit) for run in given]
        if all(before):
            return "before its runs"
        late = [
            run
            for run, earlier in zip(given, before, strict=True)
            if run is not None and not earlier and self._contains(commit, run)
        ]
        return "changed after its runs" if late else "unknown"

    @property
    def _path(self) -> Path:
        return self.folder / claim_list.NAME

    def _digests(self, commit: str) -> dict[str, str]:
        """The digests of the claims in a commit; none if it cannot be read."""
        text = git_output(self.folder, "show", f"{commit}:./{claim_list.NAME}")
        return claim_list.digests(claim_list.parse(text or ""))

    def _contains(self, commit: str, ancestor: str) -> bool:
        """Whether ``commit`` is ``ancestor`` or descends from it; False if git does not know."""
        key = (commit, ancestor)
        if key not in self._known:
            asked = git_output(self.folder, "merge-base", "--is-ancestor", ancestor, commit)
            self._known[key] = asked is not None
        return self._known[key]
