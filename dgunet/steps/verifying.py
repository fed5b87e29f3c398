"""Verification of results as they lie on the disk: seals, digests, means, cells and pages.

Every byte is read again; nothing that was remembered from an earlier verification is used. This is
not the comparison of results with those of a commit (`dgunet.steps.commit_comparison`) or of
another machine (`dgunet.steps.drift`): it says whether results were edited since they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from dgunet.data.store import verification
from dgunet.data.store.manifest import PREPARE_AGAIN, StoreManifest
from dgunet.data.store.pair_store import PairStore
from dgunet.evaluation.results import read_result_and_rows
from dgunet.evaluation.rows import AGAIN as EVALUATE_AGAIN
from dgunet.paper.written_tables import AGAIN as TABLES_AGAIN
from dgunet.paper.written_tables import CELLS, INDEX, check_tables, listed_digests, read_cells
from dgunet.project import ProjectFolders
from dgunet.steps.computed_cells import recompute
from dgunet.steps.result_evidence import Evidence
from dgunet.steps.result_search import MANIFEST, FoundResult, ResultKind
from dgunet.steps.tables import CheckedResult
from dgunet.system.errors import DgunetError
from dgunet.system.seals import SEAL, check_page, is_sealed, seal_faults, unsealed_hint, write_seal

MEND: dict[ResultKind, str] = {
    "store": PREPARE_AGAIN,
    "evaluation": EVALUATE_AGAIN,
    "tables": TABLES_AGAIN,
    "report": "Write it again with `dgunet report`.",
    "folder": "Make it again.",
}
"""How to make a result of each kind again."""

ReportPart = Callable[[float], None]
"""Called with the part of the work that is done, from 0 to 1."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, with the file and the value, and how to mend it."""

    what: str
    mend: str


@dataclass(frozen=True)
class Verdict:
    """The outcome of verifying one result.

    Attributes:
        found: the result.
        facts: what it holds, for people.
        faults: what is wrong; none if the result is as it was made.
        newly_sealed: whether it had no seal and was sealed now.
    """

    found: FoundResult
    facts: str
    faults: tuple[Fault, ...]
    newly_sealed: bool = False


@dataclass
class Verifier:
    """Verifies results one after the other: evaluations before the tables made of them.

    Args:
        project: its prepared sets, weights, runs and records are compared with its results.
        seal: seal a result that has no seal and in which nothing else is wrong.
    """

    project: ProjectFolders | None = None
    seal: bool = False
    _results: list[CheckedResult] = field(default_factory=list)
    _evidence: dict[ProjectFolders, Evidence] = field(default_factory=dict)

    def verify(self, found: FoundResult, report: ReportPart = lambda part: None) -> Verdict:
        """Verify one result; whatever is wrong with it is in the verdict."""
        faults: list[Fault] = []
        known: dict[str, str] = {}
        facts = ""
        with _collecting(faults, MEND[found.kind]):
            if found.kind == "store":
                facts, known = _verify_store(found.path, report)
            elif found.kind == "evaluation":
                facts = self._verify_evaluation(found.path)
            elif found.kind == "tables":
                facts = self._verify_tables(found.path, faults)
            elif found.kind == "report":
                check_page(found.path, again=MEND["report"])
        if found.kind == "report":
            return Verdict(found, facts, tuple(faults))
        if is_sealed(found.path):
            mend = MEND[found.kind]
            faults += [Fault(f"{what}.", mend) for what in seal_faults(found.path, known=known)]
        elif self.seal and not faults:
            with _collecting(faults, MEND[found.kind]):
                _seal(found, known)
            return Verdict(found, facts, tuple(faults), newly_sealed=not faults)
        else:
            hint = unsealed_hint(MEND[found.kind])
            faults.append(Fault(f"{found.path} is not sealed: it has no {SEAL}.", hint))
        return Verdict(found, facts, tuple(faults))

    def _verify_evaluation(self, folder: Path) -> str:
        summary, rows = read_result_and_rows(folder, sealed=False)
        if (own := self._project_of(folder)) is not None:
            self._evidence.setdefault(own, Evidence(own)).check(summary, folder)
        self._results.append((folder, summary, rows))
        return f"{summary.name}: {summary.images} images, {summary.profile}"

    def _verify_tables(self, folder: Path, faults: list[Fault]) -> str:
        check_tables(folder, sealed=False)
        root = folder.parent
        results = sorted(self._results, key=lambda each: not each[0].is_relative_to(root))
        records = self.project.records if self.project else None
        made = recompute(read_cells(folder / CELLS), results, records)
        for text in made.differences:
            faults.append(Fault(f"{folder / CELLS}: {text}.", TABLES_AGAIN))
        absent = f", {made.unavailable} without their evaluations" if made.unavailable else ""
        return f"{made.compared} cells computed again{absent}"

    def _project_of(self, folder: Path) -> ProjectFolders | None:
        """The project of an evaluation, with the folder (of a campaign, too) that it lies in."""
        here = self.project
        folder = folder.resolve()
        if here is None or not folder.is_relative_to(here.home.resolve()):
            return None
        for parent in folder.parents:
            work = None
            if parent.name == "evaluation":
                work = parent.parent
            elif parent.parent.name == "ablations" and parent.name in ("trained", "released"):
                here, work = here.using(parent.name), parent.parent.parent  # type: ignore[arg-type]
            if work is not None and work.is_relative_to(here.home.resolve()):
                return replace(here, work=work.relative_to(here.home.resolve()).as_posix())
        return None


def _verify_store(folder: Path, report: ReportPart) -> tuple[str, dict[str, str]]:
    """Read every byte of a store; return its facts, and the digests that were verified."""
    store = PairStore.open(folder, check=False, sealed=False)
    verification.verify(store, lambda done, total: report(done / max(total, 1)))
    manifest = store.manifest
    return (
        f"{manifest.dataset}: {manifest.count} records, {manifest.profile}",
        manifest.digests,
    )


def _seal(found: FoundResult, known: dict[str, str]) -> None:
    if found.kind == "store":
        digests = StoreManifest.read(found.path, sealed=False).digests
        write_seal(found.path, [MANIFEST], known=digests)
    elif found.kind == "tables":
        write_seal(found.path, [INDEX], known=listed_digests(found.path))
    else:
        write_seal(found.path, known=known)


@contextmanager
def _collecting(faults: list[Fault], mend: str) -> Iterator[None]:
    """Convert errors to faults."""
    try:
        yield
    except DgunetError as error:
        faults.append(Fault(error.message, error.hint or mend))
    except OSError as error:
        faults.append(Fault(f"{error.filename} cannot be read ({error.strerror}).", mend))
