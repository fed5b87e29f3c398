"""The plan of a campaign: its steps, what they cost, and the cells that they fill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dgunet.campaign.description import Campaign, WantedCell, WantedEvaluation, WantedNetwork
from dgunet.config import Params
from dgunet.costs.estimate import Cost, Estimate, Price, Work, estimate
from dgunet.costs.evaluation_cost import evaluation_cost
from dgunet.costs.image_sizes import ImageSizes, image_sizes
from dgunet.costs.machines import Machine
from dgunet.costs.storage import prepared_bytes
from dgunet.costs.training_cost import training_cost
from dgunet.data.acquisition.fetch_plan import FetchPlan, plan_fetch, plan_weights
from dgunet.data.catalogue.entries import dataset
from dgunet.data.readers.folder_layouts import find_present, read_pairs
from dgunet.data.readers.pairing import check_shapes
from dgunet.evaluation.protocols import protocol
from dgunet.network import DGUNetConfig, preset
from dgunet.project import ProjectFolders
from dgunet.system.errors import DataError
from dgunet.terms import ABLATIONS, TRAINING_SETS

Kind = Literal["fetch", "weights", "check", "prepare", "train", "evaluate", "tables"]

PIXELS_PER_SECOND = {"check": 21e6, "prepare": 24e6}
"""Pixels of a dataset that the steps without a network process in a second.

Measured on 2 CPU cores with the 200 PNG files of Rain100H, 30.7 million pixels: 1.46 s and 1.25 s.
Other formats and disks differ, MATLAB files most."""

NOT_COUNTED = ("downloads", "validation", "scoring")

WEIGHTS = "network.safetensors"


@dataclass(frozen=True)
class PlannedStep:
    """One step of a campaign.

    Attributes:
        kind: what it does.
        subject: the dataset or the network, as in the ledger.
        dataset: the dataset, "" for none.
        network: the network, None for none.
        present: whether its result is there already.
        cost: of its network; None without one.
        pixels: pixels that are read without a network.
        download: bytes; None if nobody states them.
        disk: bytes that stay on the disk; None if unknown.
        memory: bytes that the largest image takes; 0 if it is little.
        note: a remark for the reader of the plan.
    """

    kind: Kind
    subject: str
    dataset: str = ""
    network: WantedNetwork | None = None
    present: bool = False
    cost: Cost | None = None
    pixels: int = 0
    download: int | None = 0
    disk: int | None = 0
    memory: int | None = 0
    note: str = ""

    @property
    def name(self) -> str:
        """Name in the ledger."""
        return f"{self.kind} {self.subject}".rstrip()

    @property
    def other_seconds(self) -> float:
        """Estimated seconds without a network: reading, hashing and writing of images."""
        return self.pixels / PIXELS_PER_SECOND[self.kind] if self.pixels else 0.0

    @property
    def work(self) -> Work:
        """What it takes, on one machine."""
        return Work(self.kind, self.subject, self.cost, other_seconds=self.other_seconds)


@dataclass(frozen=True)
class PlannedCell:
    """A wanted cell and what the campaign will do for it.

    Attributes:
        cell: the position.
        outcome: "fills" it, leaves it "waiting" for DND's server, or does "not" fill it.
        reason: why not; "" if it fills the cell.
    """

    cell: WantedCell
    outcome: Literal["fills", "waiting", "not"]
    reason: str = ""


@dataclass(frozen=True)
class CampaignPlan:
    """The steps of a campaign in their order, and its cells.

    Attributes:
        campaign: what is wanted.
        here: folders of the campaign.
        params: settings of the run.
        steps: everything to do, also what is there already.
        cells: every wanted cell.
        consents: what has to be downloaded, with its terms.
    """

    campaign: Campaign
    here: ProjectFolders
    params: Params
    steps: tuple[PlannedStep, ...]
    cells: tuple[PlannedCell, ...]
    consents: tuple[FetchPlan, ...]

    @property
    def todo(self) -> tuple[PlannedStep, ...]:
        """The steps whose result is not there yet."""
        return tuple(step for step in self.steps if not step.present)

    def estimate(self, machines: Sequence[Machine], price: Price | None = None) -> Estimate:
        """Estimate the steps of `todo`, one after the other on one machine of each kind."""
        return estimate([s.work for s in self.todo], machines, price=price, notes=NOT_COUNTED)


def plan_campaign(campaign: Campaign, here: ProjectFolders, params: Params) -> CampaignPlan:
    """Plan ``campaign``; reads the disk and ``sources.yaml``, requests nothing.

    Args:
        campaign: what is wanted.
        here: folders of the campaign.
        params: settings, with the campaign's profile and weights.

    Raises:
        DataError: if a prepared store is damaged.
    """
    return _Planner(campaign, here, params).plan()


class _Planner:
    def __init__(self, campaign: Campaign, here: ProjectFolders, params: Params) -> None:
        self.campaign, self.here, self.params = campaign, here, params
        self.root = here.data(campaign.profile)
        self.wanted = campaign.evaluations()
        self._known_sizes: dict[str, ImageSizes] = {}
        self.sets = self._training_sets() + campaign.test_sets()
        self.present = {name for name in self.sets if find_present(dataset(name), self.root)}
        self.fetches = {name: plan_fetch(name) for name in self.sets if name not in self.present}
        self.missing = {name: plan.by_hand for name, plan in self.fetches.items() if plan.by_hand}

    def plan(self) -> CampaignPlan:
        weights = {
            plan.name: plan
            for network in self._networks_to_fetch()
            for plan in [plan_weights(network.task)]
        }
        consents = [plan for plan in self.fetches.values() if not plan.by_hand]
        return CampaignPlan(
            self.campaign,
            self.here,
            self.params,
            tuple(self._steps()),
            tuple(self._cell(cell) for cell in self.campaign.cells),
            (*consents, *weights.values()),
        )

    def _training_sets(self) -> list[str]:
        if not self.campaign.trains:
            return []
        return list(dict.fromkeys(n.training_set for n in self.campaign.networks()))

    def _networks_to_fetch(self) -> list[WantedNetwork]:
        if self.campaign.weights != "released" or self.campaign.checkpoint:
            return []
        return [n for n in self._published() if not self._weights(n).is_file()]

    def _published(self) -> list[WantedNetwork]:
        """The networks of Tables 1-4 behind the evaluations whose set can be had, each once."""
        usable = [each for each in self.wanted if each.dataset not in self.missing]
        return list(dict.fromkeys(each.network.published for each in usable))

    def _weights(self, network: WantedNetwork) -> Path:
        return weights_file(self.campaign, self.here, network)

    def _steps(self) -> Iterator[PlannedStep]:
        yield from self._fetch_steps()
        yield from self._weights_steps()
        for name in self.sets:
            if name not in self.missing:
                yield from self._data_steps(name)
        yield from self._training_steps()
        for evaluation in self.wanted:
            if evaluation.dataset not in self.missing:
                yield self._evaluation_step(evaluation)
        yield PlannedStep("tables", "")

    def _data_steps(self, name: str) -> Iterator[PlannedStep]:
        sizes = self._sizes(name)
        present = (self.here.store(name) / "manifest.json").is_file()
        pixels = sizes.pixels * (1 if dataset(name).grey else 2)
        yield PlannedStep("check", name, name, pixels=pixels)
        disk = 0 if present else prepared_bytes(name, sizes=sizes)
        yield PlannedStep("prepare", name, name, present=present, pixels=pixels, disk=disk)

    def _sizes(self, name: str) -> ImageSizes:
        """Sizes of the images in the store, else in the dataset on disk, else the stated ones."""
        if name not in self._known_sizes:
            store = self.here.store(name)
            found = None
            if name in self.present and not (store / "manifest.json").is_file():
                found = _tree_sizes(name, self.root)
            self._known_sizes[name] = found or image_sizes(name, store)
        return self._known_sizes[name]

    def _fetch_steps(self) -> Iterator[PlannedStep]:
        brought: set[str] = set()
        for name in self.sets:
            if name in self.present or name in self.missing:
                continue
            plan = self.fetches[name]
            archive = plan.mirrors[0].name
            shared = archive in brought
            brought.add(archive)
            yield PlannedStep(
                "fetch",
                name,
                name,
                download=0 if shared else plan.bytes,
                disk=0 if shared else plan.disk,
                note="in an archive that another set brings" if shared else "",
            )

    def _weights_steps(self) -> Iterator[PlannedStep]:
        if self.campaign.trains:
            return
        if self.campaign.checkpoint:
            yield PlannedStep("weights", str(self.campaign.checkpoint))
            return
        brought: set[str] = set()
        fetched = self._networks_to_fetch()
        for network in self._published():
            plan = plan_weights(network.task)
            shared, new = plan.name in brought, network in fetched
            brought |= {plan.name} if new else set()
            yield PlannedStep(
                "weights",
                network.key,
                network=network,
                present=not new,
                download=plan.bytes if new and not shared else 0,
                disk=plan.disk if new and not shared else 0,
                note="in an archive that another network brings" if shared and new else "",
            )

    def _training_steps(self) -> Iterator[PlannedStep]:
        if not self.campaign.trains:
            return
        for network in self.campaign.networks():
            active, ablation = self.params.active, network.ablation
            settings = active.ablate if ablation else active.train[network.task]
            cost = training_cost(self.config(network), settings)
            yield PlannedStep(
                "train",
                network.key,
                network=network,
                present=self._weights(network).is_file(),
                cost=cost,
                memory=cost.memory(),
            )

    def _evaluation_step(self, wanted: WantedEvaluation) -> PlannedStep:
        sizes = self._sizes(wanted.dataset)
        cost = evaluation_cost(wanted.dataset, self.config(wanted.network), sizes=sizes)
        return PlannedStep(
            "evaluate",
            wanted.name,
            wanted.dataset,
            wanted.network,
            cost=cost,
            memory=cost.memory,
            note="image sizes assumed" if cost.sizes.assumed else "",
        )

    def config(self, network: WantedNetwork) -> DGUNetConfig:
        """The network that a step runs: the published one, or that of the profile if trained."""
        changes = dict(ABLATIONS[network.ablation].changes) if network.ablation else {}
        if self.campaign.trains:
            changes = dict(self.params.active.network) | changes
        return preset(
            network.task,
            network.variant,
            architecture=self.params.architecture,
            ratio=network.ratio or None,
            **changes,
        )

    def _cell(self, cell: WantedCell) -> PlannedCell:
        if reason := self.campaign.without_weights(cell):
            return PlannedCell(cell, "not", reason)
        sets = list(cell.slot.datasets)
        if self.campaign.trains:
            sets.append(TRAINING_SETS[dataset(sets[0]).task])
        if absent := [name for name in sets if name in self.missing]:
            reason = f"{absent[0]} cannot be downloaded: {self.missing[absent[0]]}"
            return PlannedCell(cell, "not", reason)
        if not protocol(dataset(sets[0]).protocol).scores_locally:
            reason = "its server scores: upload what `dgunet dnd bundle` packs"
            return PlannedCell(cell, "waiting", reason)
        return PlannedCell(cell, "fills")


def _tree_sizes(name: str, root: Path) -> ImageSizes | None:
    """Sizes in the files' headers; None if the dataset cannot be read, which its check reports."""
    try:
        pairs = read_pairs(dataset(name), root, unpaired=True)
        shapes = Counter(check_shapes(pair)[:2] for pair in pairs)
    except DataError:
        return None
    return ImageSizes(tuple(shapes.most_common()), f"the files of {name}")


def weights_file(campaign: Campaign, here: ProjectFolders, network: WantedNetwork) -> Path:
    """The weights that ``campaign`` evaluates for ``network``."""
    if network.ablation and campaign.trains:
        return here.ablation_network(network.ablation) / WEIGHTS
    return here.model(network.published_key) / WEIGHTS
