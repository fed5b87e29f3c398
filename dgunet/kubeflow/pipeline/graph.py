"""A compiled pipeline as a tree of steps, loops and conditions, read from its IR."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dgunet.system.errors import DgunetError

Kind = Literal["step", "loop", "condition", "group"]
OUTPUTS = "outputs of "


@dataclass(frozen=True)
class TaskNode:
    """A task of the graph; ``inner`` has the tasks of a loop, a condition or a group."""

    name: str
    kind: Kind
    about: str = ""
    """What a loop iterates over, or the expression of a condition."""
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
    def step(self) -> str:
        """The component's name: the task's without its number."""
        return re.sub(r"-\d+$", "", self.name)

    def walk(self) -> Iterator[TaskNode]:
        """This node and all below it."""
        yield self
        for node in self.inner:
            yield from node.walk()


def pipeline_graph(document: Mapping[str, Any]) -> TaskNode:
    """The tree of a pipeline's IR; each task is after those that it waits for."""
    return TaskNode(
        name=document["pipelineInfo"]["name"],
        kind="group",
        inner=_inner(document["root"]["dag"], document["components"]),
    )


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
    about, limit = "", 0
    if "parameterIterator" in task:
        kind = "loop"
        about = _plain(task["parameterIterator"]["items"].get("inputParameter", "a list"))
        limit = int(task.get("iteratorPolicy", {}).get("parallelismLimit", 0))
    elif "condition" in trigger:
        kind, about = "condition", _condition(trigger["condition"])
    return TaskNode(
        name=name,
        kind=kind,
        about=about,
        limit=limit,
        after=tuple(sorted(_waits(task))),
        executor=component.get("executorLabel", ""),
        cached=bool(task.get("cachingOptions", {}).get("enableCache")),
        nodes=int(_constant(task, "nodes", 1)),
        retries=int(task.get("retryPolicy", {}).get("maxRetryCount", 0)),
        last=_is_last(task),
        inner=_inner(component["dag"], components) if "dag" in component else (),
    )


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
    name = channel.removeprefix("pipelinechannel--")
    return f"{OUTPUTS}{name.removesuffix('-Output')}" if name.endswith("-Output") else name


def _condition(text: str) -> str:
    text = re.sub(r"inputs\.parameter_values\['([^']+)'\]", lambda m: _plain(m[1]), text)
    return text.replace(OUTPUTS, "", 1)
