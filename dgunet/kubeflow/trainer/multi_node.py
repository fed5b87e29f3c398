"""Training as a TrainJob: a pipeline step creates it and follows it to its end."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kfp import dsl

from dgunet.kubeflow.steps.launch import train_command
from dgunet.kubeflow.trainer.api import ClusterError, TrainJobs, UnreachableError
from dgunet.kubeflow.trainer.job_log import JobLog
from dgunet.kubeflow.trainer.job_state import Outcome, PodHistory, outcome_of
from dgunet.kubeflow.trainer.node_logs import PodLogs
from dgunet.kubeflow.trainer.shared_volume import SharedFolders
from dgunet.kubeflow.trainer.trainjob import TrainJobPlan, job_name, manifest, on_a_volume
from dgunet.kubeflow.trainer.trainjob_schema import PodSettings, checked_pod_settings
from dgunet.project import model_key
from dgunet.system import environment, files
from dgunet.system.errors import ConfigError, DgunetError
from dgunet.tracking.run_end import terminable

TERMINATION_SECONDS = 600
"""Time for the pods of a deleted job to write their checkpoints and end, seconds."""

DIGEST = "dgunet/manifest-digest"
"""Annotation by which a retried step recognizes the job of its earlier attempt."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeTraining:
    """The network to train, and the folders of its files.

    Attributes:
        params: the text of ``params.yaml``.
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, else None.
        store: the prepared training set.
        out: folder to write the trained network to.
        ablation: key of an ablation, "" for a network of Tables 1-4.
    """

    params: str
    task: str
    variant: str
    ratio: int | None
    store: Path
    out: Path
    ablation: str = ""

    @property
    def key(self) -> str:
        """The name of the network, e.g. ``cs-r10-DGUNet+`` or ``stages-9``."""
        return self.ablation or model_key(self.task, self.variant, self.ratio)


@dataclass(frozen=True)
class NodeSettings:
    """The ``trainer`` block of the cluster file, and further settings of the job's pods.

    Attributes:
        count: number of nodes.
        runtime: name of a ClusterTrainingRuntime.
        shared: path on a volume that the step and all nodes mount.
        image: by digest.
        poll: seconds between two reads of the job's state.
        restarts: number of restarts after a node was interrupted.
        deadline: seconds until the cluster stops the job; 0 for no deadline.
        patience: seconds to wait for temporary failures: an unreachable registry or API server, a
            quota in use by others.
        labels: of the job and its pods.
        annotations: of the job and its pods.
        pull_secrets: secrets with registry credentials.
        security: security context of the job's pods; that of the runtime is kept where it is empty.
        processes: number per node; 0 for one per GPU.
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
    security: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 0


def train_on_nodes(
    training: NodeTraining,
    nodes: NodeSettings,
    task_config: dsl.TaskConfig,
    jobs: TrainJobs | None = None,
) -> Path:
    """Train a network in a TrainJob, as `dgunet.steps.train.train_network` does in its process.

    Args:
        task_config: the step's settings that Kubeflow forwards to the pods that it starts.
        jobs: the cluster's TrainJobs; by default those of the cluster that this process runs in.

    Returns:
        The path of the weights in ``training.out``.

    Raises:
        ConfigError: if the TrainJob would be invalid, or ``nodes.shared`` is not on a volume.
        ClusterError: if the cluster refuses the job.
        DgunetError: if the training fails, with the reason.
        SystemExit: when the step is stopped; the job is deleted, its checkpoint stays.
    """
    run = _run_name()
    folders = SharedFolders(Path(nodes.shared), job_name(run, training.key))
    forwarded = _forwarded(task_config)
    if not on_a_volume(nodes.shared, forwarded):
        raise ConfigError(
            f"trainer.shared {nodes.shared} is on none of the volume claims that Kubeflow "
            "forwards to the nodes.",
            "Set it to a path under volumes: in the cluster file; Kubeflow Pipelines before 2.15 "
            "forwards nothing.",
        )
    home = str(_home(folders, forwarded))
    jobs = jobs or TrainJobs.here()
    jobs.check_runtime(nodes.runtime)
    visible = on_a_volume(str(training.store), forwarded)
    data = folders.upload(training.params, training.store, visible=visible)
    plan = replace(
        _plan(training, nodes, folders, data),
        variables=_values_from_own_pod(forwarded) | {environment.HOME.name: home},
        labels=_labels(run, training.key) | dict(nodes.labels),
        owners=tuple(jobs.owners(environment.KFP_POD_NAME.get() or socket.gethostname())),
    )
    with terminable():
        TrainJobRun(jobs, plan, forwarded, nodes).run()
    return folders.collect(training.out)


class TrainJobRun:
    """One TrainJob from its creation to its end, restarted after a node was interrupted."""

    def __init__(
        self, jobs: TrainJobs, plan: TrainJobPlan, forwarded: PodSettings, nodes: NodeSettings
    ) -> None:
        job = manifest(plan, forwarded)
        # Each attempt of the step has a different pod, and perhaps a different owner.
        without_owner = manifest(replace(plan, owners=()), forwarded)
        annotations = job["metadata"].setdefault("annotations", {})
        annotations[DIGEST] = files.sha256_json(without_owner)[:16]
        self._job, self._jobs, self._nodes, self._name = job, jobs, nodes, plan.name

    def run(self) -> None:
        """Follow the job until the network is trained.

        The job is deleted in every case except when the API server does not respond; a retried
        step then continues with it.

        Raises:
            DgunetError: if the training fails, with the reason.
        """
        try:
            left = self._nodes.restarts
            while (outcome := self._follow_once()).kind == "resume":
                if not left:
                    raise DgunetError(
                        f"{self._name}: {outcome.message}; it was already restarted "
                        f"{self._nodes.restarts} times.",
                        "A retried step continues from the last checkpoint.",
                    )
                left -= 1
                self._log(f"{outcome.message}; continuing from the last checkpoint")
                self._remove()
            if outcome.kind == "failed":
                raise DgunetError(f"{self._name}: {outcome.message}.", outcome.hint)
        except UnreachableError:
            raise
        except BaseException:
            with suppress(DgunetError):
                self._jobs.delete(self._name)
            raise
        self._jobs.delete(self._name)

    def _follow_once(self) -> Outcome:
        """Create the job, or adopt the one of an earlier attempt, and follow it to its outcome."""
        logs, pods = PodLogs(self._jobs.lines, self._create_or_adopt()), PodHistory()
        told, pending, pending_since = JobLog(self._log), None, 0.0
        try:
            while True:
                job = self._jobs.find(self._name)
                if job is None or job["metadata"].get("deletionTimestamp"):
                    return Outcome("failed", "someone deleted the job", "Run the pipeline again.")
                known = pods.update(self._jobs.pods(self._name))
                logs.follow(known)
                told.follow(job, known)
                events, created = self._jobs.events(self._name), self._jobs.jobs(self._name)
                outcome = outcome_of(job, known, events, created)
                if outcome and outcome.final:
                    return outcome
                if outcome is None or pending is None or outcome.message != pending.message:
                    pending, pending_since = outcome, time.monotonic()
                    if outcome:
                        self._log(f"{outcome.message}; waiting")
                elif time.monotonic() - pending_since > self._nodes.patience:
                    return outcome
                time.sleep(self._nodes.poll)
        finally:
            logs.finish()

    def _create_or_adopt(self) -> str | None:
        """Create the job, or adopt a running one of an earlier attempt of this step.

        Returns:
            None for a new job. For an adopted job the current time (UTC, ISO 8601): the earlier
            attempt has printed the log up to it.
        """
        while True:
            if self._jobs.create(self._job) is not None:
                count = self._nodes.count
                self._log(f"started on {count} node" + ("s" if count > 1 else ""))
                return None
            existing = self._jobs.find(self._name)
            if existing is None:
                continue
            if not existing["metadata"].get("deletionTimestamp"):
                if self._is_adoptable(existing):
                    self._log("continuing with the job of an earlier attempt of this step")
                    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                self._log("replacing a job that failed or has other settings")
            self._remove()

    def _is_adoptable(self, existing: dict[str, Any]) -> bool:
        annotations = existing["metadata"].get("annotations") or {}
        outcome = outcome_of(existing, [], [], [])
        return annotations.get(DIGEST) == self._job["metadata"]["annotations"][DIGEST] and (
            outcome is None or outcome.kind == "done"
        )

    def _remove(self) -> None:
        """Delete the job; return after it and its pods have ended and written their checkpoint."""
        self._jobs.delete(self._name)
        end = time.monotonic() + TERMINATION_SECONDS
        while self._jobs.find(self._name) is not None:
            if time.monotonic() > end:
                raise ClusterError(
                    f"the TrainJob {self._name} still exists {TERMINATION_SECONDS} s after its "
                    "deletion.",
                    f"Find the cause: kubectl get trainjob,pods -l jobset.sigs.k8s.io/jobset-name="
                    f"{self._name}",
                )
            time.sleep(min(1.0, self._nodes.poll))

    def _log(self, message: str) -> None:
        logger.info("%s: %s", self._name, message)


def _plan(
    training: NodeTraining, nodes: NodeSettings, folders: SharedFolders, data: Path
) -> TrainJobPlan:
    """The TrainJob, except for what depends on the step that creates it."""
    _, *arguments = train_command(
        *(training.task, training.variant, training.ratio, training.ablation),
        *(folders.params, data, folders.model),
    )
    return TrainJobPlan(
        name=folders.job,
        image=nodes.image,
        command=("dgunet", *arguments),
        nodes=nodes.count,
        runtime=nodes.runtime,
        processes=nodes.processes,
        annotations=dict(nodes.annotations),
        pull_secrets=tuple(nodes.pull_secrets),
        security=dict(nodes.security),
        deadline=nodes.deadline,
    )


def _run_name() -> str:
    """The name that all jobs of one pipeline run share."""
    return environment.KFP_RUN_ID.get() or environment.CAMPAIGN.get() or "by-hand"


def nodes_home(training: NodeTraining, nodes: NodeSettings, task_config: dsl.TaskConfig) -> Path:
    """The project folder of the nodes of `train_on_nodes`, where their runs are recorded."""
    folders = SharedFolders(Path(nodes.shared), job_name(_run_name(), training.key))
    return _home(folders, _forwarded(task_config))


def _home(folders: SharedFolders, forwarded: PodSettings) -> Path:
    """The step's own project folder if all nodes mount it, else one next to the shared data."""
    home = environment.HOME.get()
    return home if home and on_a_volume(str(home), forwarded) else folders.home


def _forwarded(task_config: dsl.TaskConfig) -> PodSettings:
    names = {"node_selector": "nodeSelector", "volume_mounts": "volumeMounts"}
    content = {names.get(name, name): value for name, value in asdict(task_config).items()}
    origin = "the task settings forwarded by Kubeflow (TaskConfig)"
    return checked_pod_settings(_without_nulls(content), origin)


def _without_nulls(content: Any) -> Any:
    """``content`` without the nulls that a server writes for fields that are not set."""
    if isinstance(content, dict):
        return {key: _without_nulls(value) for key, value in content.items() if value is not None}
    return [_without_nulls(each) for each in content] if isinstance(content, list) else content


def _values_from_own_pod(forwarded: PodSettings) -> dict[str, str]:
    """Variables that refer to labels or annotations of the step's pod, which the nodes lack."""
    found = {}
    for variable in forwarded.get("env", ()):
        path = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
        if path.startswith("metadata."):
            found[variable["name"]] = environment.value_in_pod(variable["name"])
    return found


def _labels(run: str, key: str) -> dict[str, str]:
    values = {"run": run, "network": key, "campaign": environment.CAMPAIGN.get() or run}
    return {f"dgunet/{name}": _label(value) for name, value in values.items()}


def _label(value: str) -> str:
    """``value`` in the characters that a label allows, e.g. ``cs-r10-DGUNet-plus``."""
    kept = re.sub(r"[^A-Za-z0-9_.]+", "-", value.replace("+", "-plus"))
    return kept[:63].strip("-_.")
