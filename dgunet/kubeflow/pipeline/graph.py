"""A compiled pipeline as a tree of steps, loops and conditions, read from its IR."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dgunet.system.errors import DgunetError

Kind = Literal["step", "loop", "condition", "group"]
OUTPUTS = "outputs of "
CHANNEL = "pipelinechannel--"
SETS = {"dataset": "test_sets"}
"""Parameters of inner pipelines whose values are those of a list among the run's arguments."""

CHOICE = re.compile(r"(!\()?inputs\.parameter_values\['([^']+)'\] == '([^']*)'\)?")
"""A comparison of one value with a text, and its negation."""


@dataclass(frozen=True)
class Choice:
    """The condition that ``parameter`` equals ``value``; if ``negated``, that it does not."""

    parameter: str
    value: str
    negated: bool = False

    def holds(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it holds for these arguments of a run, or may hold: then it is not about them."""
        if self.parameter in SETS and not self.negated:
            return self.value in arguments.get(SETS[self.parameter], [self.value])
        if self.parameter not in arguments:
            return True
        return bool(arguments[self.parameter] == self.value) != self.negated

    def excludes(self, other: Choice) -> bool:
        """Whether both never hold at a time."""
        if self.parameter != other.parameter:
            return False
        if self.value == other.value:
            return self.negated != other.negated
        return not self.negated and not other.negated


@dataclass(frozen=True)
class TaskNode:
    """A task of the graph; ``inner`` has the tasks of a loop, a condition or a group."""

    name: str
    kind: Kind
    about: str = ""
    """What a loop iterates over, or the expression of a condition."""
    choice: Choice | None = None
    """The same expression of a condition, if it is such a simple one."""
    limit: int = 0
    """Concurrent iterations of a loop; 0 for no limit."""
    after: tuple[str, ...] = ()
    """Names of the sibling tasks that it waits for."""
    executor: str = ""
    cached: bool = False
    retries: int = 0
    nodes: int = 1
    """Number of pods with these resources; more than 1 for a training on several nodes."""
    last: bool = False
    """Runs at the end, even after a failure (exit handler)."""
    inner: tuple[TaskNode, ...] = ()

    @property
    def only_if(self) -> Choice | None:
        """The condition of all that it does, if there is a simple one."""
        if self.kind == "group" and len(self.inner) == 1:
            return self.inner[0].only_if
        return self.choice

    @property
    def step(self) -> str:
        """The component's name: the task's without its number."""
        return unnumbered(self.name)

    def walk(self) -> Iterator[TaskNode]:
        """This node and all below it."""
        yield self
        for node in self.inner:
            yield from node.walk()


def unnumbered(text: str) -> str:
    """The names of tasks in ``text`` without the numbers that kfp gives to further ones."""
    return re.sub(r"(?<=[a-z])-\d+\b", "", text)


def pipeline_graph(document: Mapping[str, Any]) -> TaskNode:
    """The tree of a pipeline's IR; each task is after those that it waits for."""
    return TaskNode(
        name=document["pipelineInfo"]["name"],
        kind="group",
        inner=_inner(document["root"]["dag"], document["components"]),
    )


def chosen_graph(root: TaskNode, arguments: Mapping[str, Any]) -> TaskNode:
    """The tree without the branches that a run with these arguments does not take."""
    taken = [
        chosen_graph(node, arguments)
        for node in root.inner
        if node.choice is None or node.choice.holds(arguments)
    ]
    taken = [node for node in taken if node.inner or node.kind != "group"]
    names = {node.name for node in taken}
    kept = (replace(n, after=tuple(name for name in n.after if name in names)) for n in taken)
    return replace(root, inner=tuple(kept))


def _inner(dag: Mapping[str, Any], components: Mapping[str, Any]) -> tuple[TaskNode, ...]:
    tasks = dag["tasks"]
    waits = {name: _waits(task) for name, task in tasks.items()}
    done: list[str] = []
    while len(done) < len(tasks):
        ready = [n for n in tasks if n not in done and waits[n] <= set(done)]
        if not ready:
            raise DgunetError(
                "the pipeline's steps wait for one another.", "Compile the pipeline again."
            )
        done += sorted(ready, key=lambda name: _is_last(tasks[name]))
    return tuple(_node(name, tasks[name], components) for name in done)


def _node(name: str, task: Mapping[str, Any], components: Mapping[str, Any]) -> TaskNode:
    component = components[task["componentRef"]["name"]]
    trigger = task.get("triggerPolicy", {})
    kind: Kind = "step" if "dag" not in component else "group"
    about, limit, choice = "", 0, None
    if "parameterIterator" in task:
        kind = "loop"
        about = _items(task)
        limit = int(task.get("iteratorPolicy", {}).get("parallelismLimit", 0))
    elif "condition" in trigger:
        kind, about = "condition", _condition(trigger["condition"])
        choice = _choice(trigger["condition"])
    return TaskNode(
        name=name,
        kind=kind,
        about=about,
        choice=choice,
        limit=limit,
        after=tuple(sorted(_waits(task))),
        executor=component.get("executorLabel", ""),
        cached=bool(task.get("cachingOptions", {}).get("enableCache")),
        nodes=int(_constant(task, "nodes", 1)),
        retries=int(task.get("retryPolicy", {}).get("maxRetryCount", 0)),
        last=_is_last(task),
        inner=_inner(component["dag"], components) if "dag" in component else (),
    )


def _items(task: Mapping[str, Any]) -> str:
    """What a loop iterates over: a parameter, an output, or a list of a known length."""
    items = task["parameterIterator"]["items"]
    if "inputParameter" in items:
        return _plain(items["inputParameter"])
    return f"{len(json.loads(items['raw']))} {task['taskInfo']['name']}"


def _constant(task: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    """The constant value of a task's parameter; ``otherwise`` without one."""
    given = task.get("inputs", {}).get("parameters", {}).get(name, {})
    return given.get("runtimeValue", {}).get("constant", otherwise)


def _is_last(task: Mapping[str, Any]) -> bool:
    return bool(task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED")


def _waits(task: Mapping[str, Any]) -> set[str]:
    return set(task.get("dependentTasks", ()))


def _plain(channel: str) -> str:
    """A readable name: ``pipelinechannel--survey-Output`` becomes ``outputs of survey``."""
    name = channel.removeprefix(CHANNEL)
    return f"{OUTPUTS}{name.removesuffix('-Output')}" if name.endswith("-Output") else name


def _condition(text: str) -> str:
    if choice := _choice(text):
        name = _plain(CHANNEL + choice.parameter).removeprefix(OUTPUTS)
        return f"{name} {'!=' if choice.negated else '=='} '{choice.value}'"
    text = re.sub(r"inputs\.parameter_values\['([^']+)'\]", lambda m: _plain(m[1]), text)
    return text.replace(OUTPUTS, "", 1)


def _choice(text: str) -> Choice | None:
    found = CHOICE.fullmatch(text)
    return Choice(found[2].removeprefix(CHANNEL), found[3], bool(found[1])) if found else None
