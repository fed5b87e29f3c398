"""What a list of works takes on each machine: durations, GPU-hours, wall time and money.

The plan of a campaign and the plan of a Kubeflow run are made from it, as text and as JSON.

>>> from dgunet.costs.machines import named_machine
>>> from dgunet.costs.training_cost import training_cost
>>> from dgunet.recipes.trainings import released
>>> recipe = released("derain")
>>> work = Work("train", "derain-DGUNet", training_cost(recipe.network, recipe.training), gpus=8)
>>> made = estimate([work], [named_machine("A100")], price=Price(2.5, "EUR"))
>>> made.machines[0].hours == made.machines[0].money / 2.5
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dgunet.costs.evaluation_cost import EvaluationCost
from dgunet.costs.machines import Machine
from dgunet.costs.training_cost import TrainingCost
from dgunet.costs.wall_time import Job, wall_seconds
from dgunet.system.errors import ConfigError
from dgunet.system.reading import shorten

Cost = TrainingCost | EvaluationCost


@dataclass(frozen=True)
class Price:
    """What a GPU costs in an hour, as the user states it.

    Attributes:
        per_gpu_hour: the amount.
        currency: the user's label of it, "" for none.
    """

    per_gpu_hour: float
    currency: str = ""

    def money(self, amount: float) -> str:
        """Return ``12,345 EUR``: an amount with the label."""
        digits = f"{amount:,.0f}" if amount >= 100 else f"{amount:,.2f}"
        return f"{digits} {self.currency}".rstrip()

    def __str__(self) -> str:
        return f"{self.per_gpu_hour:g} {self.currency}".rstrip() + " per GPU-hour; given"


@dataclass(frozen=True)
class Work:
    """One training or evaluation, or a step without a network.

    Attributes:
        step: its kind, such as train or evaluate.
        name: what it makes.
        cost: of its network; None without one.
        gpus: machines that share it.
        other_seconds: duration of what is done without a network, on any machine.
    """

    step: str
    name: str
    cost: Cost | None = None
    gpus: int = 1
    other_seconds: float = 0.0

    @property
    def operations(self) -> int:
        """Floating-point operations of the network."""
        return self.cost.operations if self.cost else 0

    @property
    def trains(self) -> bool:
        """Whether it is a training."""
        return isinstance(self.cost, TrainingCost)

    def computing(self, machine: Machine) -> float:
        """Return the seconds of the network on ``gpus`` such machines."""
        return self.cost.seconds(machine, self.gpus) if self.cost else 0.0

    def seconds(self, machine: Machine) -> float:
        """Return the duration."""
        return self.computing(machine) + self.other_seconds

    def hours(self, machine: Machine) -> float:
        """Return the hours of its GPUs (or machines), added up; 0 without a network."""
        return self.seconds(machine) * self.gpus / 3600 if self.cost else 0.0


@dataclass(frozen=True)
class Limits:
    """How many works may run at a time.

    Attributes:
        together: works of each kind of step at a time.
        quota: GPUs of all works at a time; None for any number.
    """

    together: Mapping[str, int]
    quota: int | None = None


@dataclass(frozen=True)
class MachineEstimate:
    """All works on one kind of machine.

    Attributes:
        machine: the kind.
        seconds: duration of each work.
        hours: of all works, on each of their GPUs, added up.
        training_wall: seconds until all trainings are done; None if one needs more GPUs than the
            quota, so that it waits for ever.
        other_wall: the same for all other works, taken alone.
        money: for the GPU-hours; None without a price, and for a machine without a GPU.
    """

    machine: Machine
    seconds: tuple[float, ...]
    hours: float
    training_wall: float | None
    other_wall: float | None
    money: float | None

    @property
    def wall(self) -> float | None:
        """Seconds until everything is done if no other work begins before the last training ends.

        An upper bound: a network can be evaluated while others are still trained.
        """
        if self.training_wall is None or self.other_wall is None:
            return None
        return self.training_wall + self.other_wall


@dataclass(frozen=True)
class Estimate:
    """All works on each kind of machine."""

    works: tuple[Work, ...]
    machines: tuple[MachineEstimate, ...]
    price: Price | None = None
    limits: Limits | None = None
    notes: tuple[str, ...] = field(default=())
    """What is not counted, a sentence each."""

    def content(self) -> dict[str, Any]:
        """Return the estimate as a JSON object; docs/costs.md lists the fields."""
        return {
            "works": [_work(work) for work in self.works],
            "machines": [self._machine(each) for each in self.machines],
            "quota": self.limits.quota if self.limits else None,
            "not_counted": list(self.notes),
        }

    def _machine(self, each: MachineEstimate) -> dict[str, Any]:
        machine, cpu = each.machine, each.machine.is_cpu
        pairs = zip(self.works, each.seconds, strict=True)
        return {
            "name": machine.name,
            "measured": machine.probe is not None,
            "source": machine.assumption,
            "evaluation_flops_per_second": machine.rate,
            "training_flops_per_second": machine.training_rate or machine.rate,
            "memory_bytes": machine.memory,
            "works": [
                {"seconds": seconds, "gpu_hours": None if cpu else work.hours(machine)}
                for work, seconds in pairs
            ],
            "gpu_hours": None if cpu else each.hours,
            "wall_seconds": each.wall,
            "training_wall_seconds": each.training_wall,
            "other_wall_seconds": each.other_wall,
            "money": self._money(each),
        }

    def _money(self, each: MachineEstimate) -> dict[str, Any] | None:
        if self.price is None or each.money is None:
            return None
        return {
            "amount": each.money,
            "currency": self.price.currency,
            "per_gpu_hour": self.price.per_gpu_hour,
        }


def estimate(
    works: Sequence[Work],
    machines: Sequence[Machine],
    *,
    limits: Limits | None = None,
    price: Price | None = None,
    notes: Sequence[str] = (),
) -> Estimate:
    """Estimate ``works`` on each of ``machines``.

    Args:
        works: in the order in which they are started.
        machines: the kinds to compare.
        limits: how many run at a time; None: one after the other.
        price: of a GPU-hour; without it there is no amount of money.
        notes: what is not counted.
    """
    made = tuple(_on(machine, works, limits, price) for machine in machines)
    return Estimate(tuple(works), made, price, limits, tuple(notes))


def given_price(per_gpu_hour: float | None, currency: str | None) -> Price | None:
    """Return the price that the options ``--price`` and ``--currency`` state; None without one.

    Raises:
        ConfigError: for a currency without a price, or a label that is not one short word.
    """
    if per_gpu_hour is None:
        if currency is None:
            return None
        raise ConfigError("--currency without --price.", "Give the price of a GPU-hour: --price 2")
    label = currency or ""
    if len(label) > 12 or not label.isprintable() or " " in label:
        raise ConfigError(f"--currency is {shorten(label)}.", "Give a label such as EUR.")
    return Price(per_gpu_hour, label)


def _on(
    machine: Machine, works: Sequence[Work], limits: Limits | None, price: Price | None
) -> MachineEstimate:
    hours = sum(work.hours(machine) for work in works)
    return MachineEstimate(
        machine,
        tuple(work.seconds(machine) for work in works),
        hours,
        _wall([work for work in works if work.trains], machine, limits),
        _wall([work for work in works if not work.trains], machine, limits),
        None if price is None or machine.is_cpu else hours * price.per_gpu_hour,
    )


def _wall(works: Sequence[Work], machine: Machine, limits: Limits | None) -> float | None:
    if limits is None:
        return sum(work.seconds(machine) for work in works)
    jobs = [Job(work.step, work.gpus, work.seconds(machine)) for work in works]
    return wall_seconds(jobs, limits.together, limits.quota)


def _work(work: Work) -> dict[str, Any]:
    content = {
        "step": work.step,
        "name": work.name,
        "gpus": work.gpus if work.cost else 0,
        "operations": work.operations,
        "other_seconds": work.other_seconds,
    }
    if isinstance(work.cost, TrainingCost):
        settings = work.cost.settings
        content["training"] = {
            "iterations": settings.iterations,
            "batch": settings.batch,
            "patch": settings.patch,
            "memory_bytes": work.cost.memory(work.gpus),
        }
    elif isinstance(work.cost, EvaluationCost):
        sizes = work.cost.sizes
        content["evaluation"] = {
            "dataset": work.cost.dataset,
            "images": sizes.images,
            "passes": work.cost.passes,
            "sizes_assumed": sizes.assumed,
        }
    return content
