"""What each kind of step does: calls of the functions behind the other commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgunet.campaign.description import WantedNetwork
from dgunet.campaign.ledger import Ledger
from dgunet.campaign.plan import CampaignPlan, PlannedStep, weights_file
from dgunet.data.acquisition.known_sources import fetch_known
from dgunet.data.acquisition.released_weights import released_weights
from dgunet.data.catalogue.overlaps import write_overlaps
from dgunet.data.check.dataset_check import check_dataset, find_overlaps, write_report
from dgunet.data.check.overlap_records import overlap_records
from dgunet.data.check.reports import DatasetReport
from dgunet.data.store.manifest import StoreManifest
from dgunet.evaluation.results import read_result
from dgunet.evaluation.summary import EvaluationSummary
from dgunet.network import load_network, save_network
from dgunet.network.official import import_official
from dgunet.project import ProjectFolders
from dgunet.steps.evaluate import evaluate_ablation, evaluate_test_set
from dgunet.steps.prepare import prepare_store
from dgunet.steps.report import make_report
from dgunet.steps.result_folders import result_folders
from dgunet.steps.tables import make_tables
from dgunet.steps.train import train_ablation, train_network
from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.files import sha256_file
from dgunet.system.package_digest import code_version
from dgunet.terms import ABLATION_TASK, TRAINING_SETS
from dgunet.tracking.reports.progress import counting, counting_bytes

Tell = Callable[[str], None]


@dataclass
class Actions:
    """The functions behind the steps of one campaign.

    Attributes:
        plan: the campaign's plan; its terms have been accepted.
        tell: called with one line for each place that is tried and each finding.
        shown: facts of a finished step that are shown.
    """

    plan: CampaignPlan
    tell: Tell = lambda line: None
    shown: tuple[str, ...] = ("psnr", "ssim", "state", "pairs", "sha256", "verified")
    _reports: dict[str, DatasetReport] = field(default_factory=dict)
    _checked: bool | None = None

    @property
    def here(self) -> ProjectFolders:
        """The folders of the campaign."""
        return self.plan.here

    @property
    def root(self) -> Path:
        """The folder of the datasets' trees."""
        return self.here.data(self.plan.campaign.profile)

    def kept(self, step: PlannedStep, ledger: Ledger) -> str:
        """Why the step need not be carried out; "" if it must be."""
        if step.kind == "evaluate":
            return self._kept_evaluation(step, ledger)
        if step.kind == "check":
            return "done before by the same code" if self._all_checked(ledger) else ""
        if step.kind == "train" and step.network is not None:
            path = self._weights(step.network)
            return f"{path} is there" if path.is_file() else ""
        return "is there" if step.present else ""

    def _all_checked(self, ledger: Ledger) -> bool:
        """Whether every set was checked before: sets are compared with each other in one go."""
        if self._checked is None:
            done = [ledger.last(step.name) for step in self.plan.steps if step.kind == "check"]
            self._checked = all(e is not None and e.facts["code"] == code_version() for e in done)
        return self._checked

    def carry_out(self, step: PlannedStep) -> dict[str, Any]:
        """Carry out one step; return the facts for the ledger.

        Raises:
            DgunetError: if it failed; the other steps can go on.
        """
        return {
            "fetch": self._fetch,
            "weights": self._obtain_weights,
            "check": self._check,
            "prepare": self._prepare,
            "train": self._train,
            "evaluate": self._evaluate,
            "tables": self._tables,
        }[step.kind](step)

    def _fetch(self, step: PlannedStep) -> dict[str, Any]:
        with counting_bytes(step.name) as observe:
            fetched = fetch_known(
                step.dataset,
                self.root,
                self._downloads,
                consent=lambda plan: True,
                observe=observe,
                note=self.tell,
            )
        return {
            "place": fetched.place,
            "sha256": fetched.sha256,
            "pairs": fetched.imported.pairs,
            "verified": fetched.verified or "nobody states a digest",
        }

    @property
    def _downloads(self) -> Path:
        return self.here.home / "build" / "downloads"

    def _obtain_weights(self, step: PlannedStep) -> dict[str, Any]:
        if step.network is None:
            return self._import_file()
        target = self._weights(step.network)
        network = step.network
        with counting_bytes(step.name) as observe:
            released_weights(
                network.task,
                network.variant,
                network.ratio or None,
                target,
                self._downloads,
                consent=lambda plan: True,
                observe=observe,
                note=self.tell,
            )
        return {"sha256": sha256_file(target)}

    def _import_file(self) -> dict[str, Any]:
        """Bring the user's file to the place of its network."""
        file = self.plan.campaign.checkpoint
        assert file is not None
        (network,) = self.plan.campaign.networks()
        target = self._weights(network)
        if file.suffix == ".safetensors":
            load_network(file)
            with files.atomic_path(target) as temporary:
                shutil.copyfile(file, temporary)
        else:
            known = None if network.task == ABLATION_TASK else network.task
            imported, origin = import_official(file, task=known)
            save_network(imported, target, origin)
        return {"sha256": sha256_file(target), "file": str(file)}

    def _check(self, step: PlannedStep) -> dict[str, Any]:
        with counting(step.name, "pair") as bar:
            report = check_dataset(
                step.dataset, self.root, observe=lambda name, done, total: bar(done, total)
            )
        self._reports[step.dataset] = report
        for finding in report.findings:
            if finding.level != "note":
                self.tell(f"{step.dataset}: {finding.level}: {finding.text}")
        overlaps = find_overlaps(self._reports.values())
        write_report(list(self._reports.values()), overlaps, self.here.build / "check.json")
        write_overlaps(overlap_records(list(self._reports.values()), overlaps), self.here.overlaps)
        return {
            "code": code_version(),
            "pairs": report.pairs,
            "release": report.release,
            "errors": sum(finding.level == "error" for finding in report.findings),
            "warnings": sum(finding.level == "warning" for finding in report.findings),
        }

    def _prepare(self, step: PlannedStep) -> dict[str, Any]:
        manifest = prepare_store(
            self.plan.campaign.profile,
            step.dataset,
            root=self.root,
            out=self.here.store(step.dataset),
        )
        for doubt in manifest.doubts:
            self.tell(f"{step.dataset}: {doubt}")
        return {"digest": manifest.digest, "pairs": manifest.count, "complete": manifest.complete}

    def _train(self, step: PlannedStep) -> dict[str, Any]:
        network = step.network
        assert network is not None
        store, out = self.here.store(TRAINING_SETS[network.task]), self._weights(network).parent
        if network.ablation:
            train_ablation(self.plan.params, network.ablation, store=store, out=out)
        else:
            train_network(
                self.plan.params,
                network.task,
                variant=network.variant,
                ratio=network.ratio or None,
                store=store,
                out=out,
            )
        return {"sha256": sha256_file(self._weights(network))}

    def _evaluate(self, step: PlannedStep) -> dict[str, Any]:
        network = step.network
        assert network is not None
        store, weights = self.here.store(step.dataset), self._weights(network)
        if network.ablation:
            summary = evaluate_ablation(
                self.plan.params.evaluation,
                network.ablation,
                weights=weights,
                store=store,
                out=self._result(step),
            )
        else:
            (summary,) = evaluate_test_set(
                self.plan.params.evaluation,
                step.dataset,
                variant=network.variant,
                models={network.ratio or None: weights},
                store=store,
                out=self.here.evaluation(step.dataset, network.variant),
            )
        return self._facts(summary)

    def _facts(self, summary: EvaluationSummary) -> dict[str, Any]:
        return {
            "code": code_version(),
            "data": summary.data_digest,
            "checkpoint": summary.checkpoint_sha256,
            "per_image": summary.per_image_sha256,
            "state": summary.state,
            "psnr": summary.psnr,
            "ssim": summary.ssim,
        }

    def _kept_evaluation(self, step: PlannedStep, ledger: Ledger) -> str:
        """Whether the result is there, of the same data, weights and code."""
        done, folder = ledger.last(step.name), self._result(step)
        assert step.network is not None
        weights = self._weights(step.network)
        if done is None or not (folder / "summary.json").is_file() or not weights.is_file():
            return ""
        try:
            facts = self._facts(read_result(folder))
            digest = StoreManifest.read(self.here.store(step.dataset)).digest
        except DgunetError:
            return ""
        same = facts == dict(done.facts) and facts["data"] == digest
        return "is there" if same and facts["checkpoint"] == sha256_file(weights) else ""

    def _result(self, step: PlannedStep) -> Path:
        network = step.network
        assert network is not None
        if network.ablation:
            return self.here.ablation(network.ablation)
        folder = self.here.evaluation(step.dataset, network.variant)
        return folder / f"r{network.ratio}" if network.ratio else folder

    def _weights(self, network: WantedNetwork) -> Path:
        return weights_file(self.plan.campaign, self.here, network)

    def _tables(self, step: PlannedStep) -> dict[str, Any]:
        # Also those of earlier commands for the same campaign.
        results = [f for f in result_folders(self.plan.params, self.here) if f.is_dir()]
        if not results:
            raise DataError("there is no result to make tables of.", "See the failures above.")
        profile, home = self.plan.campaign.profile, self.here.home
        given: dict[str, Any] = {
            "results": results,
            "records": self.here.records,
            "overlaps": self.here.overlaps,
            "project": self.here,
        }
        made = make_tables(profile, out=self.here.tables, **given)
        count = make_report(profile, out=self.here.report, home=home, **given)
        return {"tables": len(made), "evaluations": count, "report": str(self.here.report)}
