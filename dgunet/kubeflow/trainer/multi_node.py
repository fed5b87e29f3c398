"""Training over several nodes from a step of a pipeline: a TrainJob, watched to its end."""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kfp import dsl

from dgunet.kubeflow.cluster.typed_yaml import checked
from dgunet.kubeflow.steps.launch import train_command
from dgunet.kubeflow.trainer.api import ClusterError, Jobs, UnreachableError
from dgunet.kubeflow.trainer.job_state import Memory, Verdict, describe, judge
from dgunet.kubeflow.trainer.node_logs import PodLogs
from dgunet.kubeflow.trainer.parts import Forwarded, Variable, without_nulls
from dgunet.kubeflow.trainer.shared_volume import Place
from dgunet.kubeflow.trainer.trainjob import Plan, job_name, manifest, on_a_volume
from dgunet.project import model_key
from dgunet.system import environment, files
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.tracking.run_end import terminable

LEAVING = 600
"""Seconds in which a deleted job's pods write their checkpoints and leave."""

DIGEST = "dgunet/manifest-digest"
"""Annotation by which a retried step sees whether the job that is there is its own."""


@dataclass(frozen=True)
class Nodes:
    """The ``trainer`` block of the cluster file, and what else the job's pods need of it.

    Attributes:
        count: nodes.
        runtime: name of a ClusterTrainingRuntime.
        shared: path of a volume that the step and all nodes see.
        image: by digest.
        poll: seconds between two looks at the job.
        restarts: how often a training is started again after a node was taken away.
        deadline: seconds, then the cluster ends the job by itself; 0 for never.
        patience: seconds in which what may recover may do so: a registry or an API server that
            does not answer, a quota that others use up.
        labels: of job and pods.
        annotations: likewise.
        pull_secrets: logins to the registry.
    """

    count: int
    runtime: str
    shared: str
    image: str
    poll: float = 15
    restarts: int = 5
    deadline: int = 0
    patience: float = 600
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: Sequence[str] = ()

    def marked(
        self,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        pull_secrets: Sequence[str],
    ) -> Nodes:
        """These with marks and logins."""
        return replace(self, labels=labels, annotations=annotations, pull_secrets=pull_secrets)


def train_on_nodes(
    params: str,
    task: str,
    *,
    variant: str,
    ratio: int | None,
    store: Path,
    out: Path,
    nodes: Nodes,
    task_config: dsl.TaskConfig,
    processes: int = 0,
    jobs: Jobs | None = None,
) -> Path:
    """As `train_network` of `dgunet.steps.train`, on several nodes; returns the weights' path.

    Args:
        params: the text of ``params.yaml``.
        task_config: what Kubeflow forwards of the step's settings to the pods it starts.
        processes: of each node; 0: one for each GPU.
        jobs: where to start it; the cluster that this runs in if not given.

    Raises:
        ConfigError: if the settings make no valid TrainJob, or ``nodes.shared`` is on no volume.
        ClusterError: if the cluster refuses it.
        DgunetError: if the training fails, saying why.
        SystemExit: when the step is stopped; the job is removed, its checkpoint stays.
    """
    run = _run_name()
    key = model_key(task, variant, ratio)
    place = Place(Path(nodes.shared), job_name(run, key))
    forwarded = _forwarded(task_config)
    if not on_a_volume(nodes.shared, forwarded):
        raise ConfigError(
            f"trainer.shared {nodes.shared} is on none of the volume claims that Kubeflow "
            "forwards to the nodes.",
            "Name a path under volumes: in the cluster file; Kubeflow Pipelines before 2.15 "
            "forwards nothing.",
        )
    home = str(_home(place, forwarded))
    jobs = jobs or Jobs.here()
    jobs.check_runtime(nodes.runtime)
    data = place.bring(params, store)
    _, *rest = train_command(task, variant, ratio, place.params, data, place.model)
    plan = Plan(
        name=place.job,
        image=nodes.image,
        command=("dgunet", *rest),
        nodes=nodes.count,
        runtime=nodes.runtime,
        processes=processes,
        variables=_known_here(forwarded.env or []) | {"DGUNET_HOME": home},
        labels=_labels(run, key) | dict(nodes.labels),
        annotations=dict(nodes.annotations),
        pull_secrets=tuple(nodes.pull_secrets),
        owners=tuple(jobs.owners(environment.KFP_POD_NAME.get() or socket.gethostname())),
        deadline=nodes.deadline,
    )
    with terminable():
        Training(jobs, plan, forwarded, nodes).run()
    return place.collect(out)


def nodes_home(
    nodes: Nodes, task: str, *, variant: str, ratio: int | None, task_config: dsl.TaskConfig
) -> Path:
    """The project folder that the nodes of `train_on_nodes` use, where their runs are recorded."""
    place = Place(Path(nodes.shared), job_name(_run_name(), model_key(task, variant, ratio)))
    return _home(place, _forwarded(task_config))


def _run_name() -> str:
    """The name that all jobs of one pipeline run share."""
    return environment.KFP_RUN_ID.get() or environment.CAMPAIGN.get() or "by-hand"


def _home(place: Place, forwarded: Forwarded) -> Path:
    """The step's own project folder if it is on a volume of the nodes, else one beside the data."""
    home = environment.HOME.get()
    return home if home and on_a_volume(str(home), forwarded) else place.home


class Training:
    """One TrainJob from its making to its end, started again where a node was taken away."""

    def __init__(self, jobs: Jobs, plan: Plan, forwarded: Forwarded, nodes: Nodes) -> None:
        job = manifest(plan, forwarded)
        # The step's pod is another at every attempt, and with it perhaps the owner.
        same = manifest(replace(plan, owners=()), forwarded)
        marks = job["metadata"].setdefault("annotations", {})
        marks[DIGEST] = files.sha256_json(same)[:16]
        self._job, self._jobs, self._nodes, self._name = job, jobs, nodes, plan.name

    def run(self) -> None:
        """Return when the network is trained.

        The job is removed at the end, however that comes, but for an API server that does not
        answer: a retried step then finds the job.

        Raises:
            DgunetError: if it cannot be trained, saying why.
        """
        try:
            left = self._nodes.restarts
            while (verdict := self._once()).kind == "resume":
                if not left:
                    raise DgunetError(
                        f"{self._name}: {verdict.message}; it was started again "
                        f"{self._nodes.restarts} times already.",
                        "A retried step goes on from the last checkpoint.",
                    )
                left -= 1
                _say(f"{self._name}: {verdict.message}; going on from the last checkpoint")
                self._remove()
            if verdict.kind == "failed":
                raise DgunetError(f"{self._name}: {verdict.message}.", verdict.hint)
        except UnreachableError:
            raise
        except BaseException:
            with suppress(DgunetError):
                self._jobs.delete(self._name)
            raise
        self._jobs.delete(self._name)

    def _once(self) -> Verdict:
        """Start the job, or take up the one that is there; what became of it."""
        since = self._submit()
        logs, memory = PodLogs(self._jobs.lines, since), Memory()
        told, doubt, doubted = "", None, 0.0
        try:
            while True:
                job = self._jobs.find(self._name)
                if job is None or job["metadata"].get("deletionTimestamp"):
                    return Verdict("failed", "somebody deleted the job", "Run the pipeline again.")
                pods = memory.see(self._jobs.pods(self._name))
                logs.follow(pods)
                if (line := describe(job, pods)) != told:
                    told = line
                    _say(f"{self._name}: {line}")
                events, behind = self._jobs.events(self._name), self._jobs.jobs(self._name)
                verdict = judge(job, pods, events, behind)
                if verdict and verdict.sure:
                    return verdict
                if verdict is None or doubt is None or verdict.message != doubt.message:
                    doubt, doubted = verdict, time.monotonic()
                    if verdict:
                        _say(f"{self._name}: {verdict.message}; waiting")
                elif time.monotonic() - doubted > self._nodes.patience:
                    return verdict
                time.sleep(self._nodes.poll)
        finally:
            logs.finish()

    def _submit(self) -> str | None:
        """Create the job; of an earlier attempt's that runs, the time from which its log is new."""
        while True:
            if self._jobs.create(self._job) is not None:
                _say(f"{self._name}: started on {self._nodes.count} nodes")
                return None
            there = self._jobs.find(self._name)
            if there is None:
                continue
            if not there["metadata"].get("deletionTimestamp"):
                if self._is_ours(there):
                    _say(f"{self._name}: an earlier attempt of this step started it; going on")
                    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                _say(f"{self._name}: replacing one of other settings, or one that failed")
            self._remove()

    def _is_ours(self, there: dict[str, Any]) -> bool:
        marks = there["metadata"].get("annotations") or {}
        verdict = judge(there, [], [], [])
        return marks.get(DIGEST) == self._job["metadata"]["annotations"][DIGEST] and (
            verdict is None or verdict.kind == "done"
        )

    def _remove(self) -> None:
        """Delete the job and return when it and its pods are gone, their checkpoint written."""
        self._jobs.delete(self._name)
        end = time.monotonic() + LEAVING
        while self._jobs.find(self._name) is not None:
            if time.monotonic() > end:
                raise ClusterError(
                    f"the TrainJob {self._name} was deleted {LEAVING} s ago and is still there.",
                    f"Look why: kubectl get trainjob,pods -l jobset.sigs.k8s.io/jobset-name="
                    f"{self._name}",
                )
            time.sleep(min(1.0, self._nodes.poll))


def _forwarded(task_config: dsl.TaskConfig) -> Forwarded:
    names = {"node_selector": "nodeSelector", "volume_mounts": "volumeMounts"}
    content = {names.get(name, name): value for name, value in asdict(task_config).items()}
    origin = "what Kubeflow forwards of the task (TaskConfig)"
    return checked(Forwarded, without_nulls(content), origin)


def _known_here(variables: Sequence[Variable]) -> dict[str, str]:
    """Those that are read from the marks of the step's own pod, which the nodes do not carry."""
    return {
        each.name: environment.value_in_pod(each.name)
        for each in variables
        if each.value_from
        and each.value_from.field_ref
        and each.value_from.field_ref.field_path.startswith("metadata.")
    }


def _labels(run: str, key: str) -> dict[str, str]:
    told = {"run": run, "network": key, "campaign": environment.CAMPAIGN.get() or run}
    return {f"dgunet/{name}": _label(value) for name, value in told.items()}


def _label(value: str) -> str:
    """``value`` with what a label may hold, e.g. ``cs-r10-DGUNet-plus``."""
    kept = re.sub(r"[^A-Za-z0-9_.]+", "-", value.replace("+", "-plus"))
    return kept[:63].strip("-_.")


def _say(line: str) -> None:
    print(f"dgunet: {line}", file=sys.stderr, flush=True)
