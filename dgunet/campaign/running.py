"""Carries out the steps of a campaign; of a step that fails only its own cells are lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from filelock import FileLock, Timeout

from dgunet.campaign.actions import Actions
from dgunet.campaign.ledger import Ledger
from dgunet.campaign.plan import CampaignPlan, PlannedStep
from dgunet.costs.formats import duration
from dgunet.costs.machines import Machine
from dgunet.system import files
from dgunet.system.errors import DgunetError

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]


@dataclass
class CampaignOutcome:
    """What came of a campaign.

    Attributes:
        failed: steps that failed, with the reason.
        skipped: steps that were left out because one that they need failed.
    """

    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def run_campaign(
    plan: CampaignPlan, actions: Actions, machine: Machine | None, tell: Tell
) -> CampaignOutcome:
    """Carry out ``plan``; run again, it goes on where it stopped.

    Args:
        plan: what `dgunet.campaign.plan.plan_campaign` returned.
        actions: the functions behind the steps.
        machine: this machine, for the time that is left; None if it was not probed.
        tell: called with one line for each step.

    Raises:
        DgunetError: if another process runs the campaign, or its folder is not writable.
        KeyboardInterrupt: after Ctrl-C; what is complete stays.
    """
    with _alone(plan):
        run = _Run(plan.steps, actions, Ledger(plan.here.build), _Clock(plan.steps, machine), tell)
        for number, step in enumerate(plan.steps):
            run.take(number, step)
    return run.outcome


@dataclass
class _Run:
    """The steps of one call of `run_campaign`."""

    steps: tuple[PlannedStep, ...]
    actions: Actions
    ledger: Ledger
    clock: _Clock
    tell: Tell
    outcome: CampaignOutcome = field(default_factory=CampaignOutcome)

    def take(self, number: int, step: PlannedStep) -> None:
        """Carry out a step, unless its result is there or it cannot be made."""
        title = f"[{number + 1}/{len(self.steps)}] {step.name}"
        if reason := _needs_failed(step, self.outcome):
            self.outcome.skipped.append(step.name)
            self.tell(f"{title}: left out, {reason}")
        elif kept := self.actions.kept(step, self.ledger):
            self.tell(f"{title}: {kept}")
        else:
            self._carry_out(step, title, self.clock.left(number))
            self.clock.ended(step)

    def _carry_out(self, step: PlannedStep, title: str, left: str) -> None:
        try:
            with self.ledger.step(step.name) as facts:
                self.tell(f"{title}{left}")
                facts |= self.actions.carry_out(step)
        except (DgunetError, OSError, MemoryError) as error:
            self.outcome.failed[step.name] = str(error) or type(error).__name__
            self.tell(f"{title}: failed: {error}")
            return
        shown = [f"{key} {value}" for key, value in facts.items() if key in self.actions.shown]
        self.tell(f"{title}: done" + (f", {', '.join(shown)}" if shown else ""))


def _needs_failed(step: PlannedStep, outcome: CampaignOutcome) -> str:
    """The failed step that ``step`` needs; "" if there is none."""
    lost = [*outcome.failed, *outcome.skipped]
    needed: list[str] = []
    if step.kind in ("check", "prepare", "evaluate"):
        needed += [f"{kind} {step.dataset}" for kind in ("fetch", "prepare")]
    if step.kind == "evaluate" and step.network is not None:
        needed += [f"{kind} {step.network.key}" for kind in ("weights", "train")]
        needed += [f"weights {step.network.published_key}"]
    if step.kind == "train" and step.network is not None:
        needed += [f"prepare {step.network.training_set}"]
    found = [name for name in needed if name in lost and name != step.name]
    return f"{found[0]} failed" if found else ""


class _Clock:
    """The time that is left, from the counted operations and the durations so far."""

    def __init__(self, steps: tuple[PlannedStep, ...], machine: Machine | None) -> None:
        self._steps, self._machine = steps, machine
        self._began = time.monotonic()
        self._expected = self._took = 0.0

    def left(self, done: int) -> str:
        """Text about the time that the steps after the first ``done`` ones take."""
        if self._machine is None:
            return ""
        rest = [step for step in self._steps[done:] if not step.present]
        # How long steps really took corrects the estimate once it has some weight.
        factor = self._took / self._expected if self._expected > 10 else 1.0
        total = factor * sum(map(self._seconds, rest))
        return f": about {duration(total)} left in all, without downloads" if total >= 1 else ""

    def ended(self, step: PlannedStep) -> None:
        """Compare the duration of a step with its estimate."""
        now = time.monotonic()
        if self._machine is not None and step.cost:
            self._expected += self._seconds(step)
            self._took += now - self._began
        self._began = now

    def _seconds(self, step: PlannedStep) -> float:
        assert self._machine is not None
        return step.work.seconds(self._machine)


@contextmanager
def _alone(plan: CampaignPlan) -> Iterator[None]:
    """Hold the lock of the campaign's folder."""
    with files.writing(plan.here.build):
        files.make_folder(plan.here.build)
        lock = FileLock(plan.here.build / ".campaign.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DgunetError(
            f"another process runs the campaign in {plan.here.build}.",
            "Wait until it has finished, or give this one another --name.",
        ) from error
    with lock:
        yield
