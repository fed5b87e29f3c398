"""A compiled pipeline as a tree of steps, loops and conditions, read from its IR alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dgunet.system.errors import DgunetError

Kind = Literal["step", "loop", "condition", "group"]


@dataclass(frozen=True)
class Node:
    """A task of the graph; ``inner`` holds the tasks of a loop, a condition or a group."""

    name: str
    kind: Kind
    about: str = ""
    """What a loop runs over, or when a condition holds."""
    limit: int = 0
    """Iterations of a loop at a time."""
    after: tuple[str, ...] = ()
    """Names of the tasks beside it that it waits for."""
    executor: str = ""
    cached: bool = False
    retries: int = 0
    nodes: int = 1
    """Pods with these resources that it holds: several for a training over several nodes."""
    last: bool = False
    """Runs at the end whatever happened (exit handler)."""
    inner: tuple[Node, ...] = ()

    @property
    def step(self) -> str:
        """The component's name, without the number that tells two tasks of it apart."""
        return re.sub(r"-\d+$", "", self.name)

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for node in self.inner:
            yield from node.walk()


def graph(document: Mapping[str, Any]) -> Node:
    """The tree of a pipeline's IR; tasks stand after those they wait for."""
    return Node(
        name=document["pipelineInfo"]["name"],
        kind="group",
        inner=_inner(document["root"]["dag"], document["components"]),
    )


def _inner(dag: Mapping[str, Any], components: Mapping[str, Any]) -> tuple[Node, ...]:
    tasks = dag["tasks"]
    waits = {name: _waits(task) for name, task in tasks.items()}
    done: list[str] = []
    while len(done) < len(tasks):
        ready = [n for n in tasks if n not in done and waits[n] <= set(done)]
        if not ready:
            raise DgunetError("the pipeline's steps wait for one another.", "Compile it again.")
        done += sorted(ready, key=lambda name: _is_last(tasks[name]))
    return tuple(_node(name, tasks[name], components) for name in done)


def _node(name: str, task: Mapping[str, Any], components: Mapping[str, Any]) -> Node:
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
    return Node(
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
    """The value that a task's parameter was compiled with."""
    given = task.get("inputs", {}).get("parameters", {}).get(name, {})
    return given.get("runtimeValue", {}).get("constant", otherwise)


def _is_last(task: Mapping[str, Any]) -> bool:
    return bool(task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED")


def _waits(task: Mapping[str, Any]) -> set[str]:
    return set(task.get("dependentTasks", ()))


def _plain(channel: str) -> str:
    """``pipelinechannel--survey-Output`` as a reader says it: what survey found."""
    name = channel.removeprefix("pipelinechannel--")
    return f"what {name.removesuffix('-Output')} found" if name.endswith("-Output") else name


def _condition(text: str) -> str:
    text = re.sub(r"inputs\.parameter_values\['([^']+)'\]", lambda m: _plain(m[1]), text)
    return text.replace("what ", "", 1).replace(" found", "", 1)
