"""Applies a cluster's settings to the tasks of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp import dsl, kubernetes

from dgunet.kubeflow.cluster.settings import Cluster, Security, Step
from dgunet.kubeflow.pipeline.graph import unnumbered
from dgunet.system import environment

CACHED = ("prepare", "fetch_weights", "keep_model", "evaluate")
"""Steps cached by default: their results depend only on parameters and are often reused."""

RUN_LABEL = "metadata.labels['pipeline/runid']"
"""Kubeflow writes the id of the run to this label of each of its pods."""


class TaskPlacement:
    """Applies the settings of ``cluster`` to tasks; without a cluster, sets caching only."""

    def __init__(self, cluster: Cluster | None = None) -> None:
        self.cluster = cluster

    def parallelism(self, kind: str) -> int:
        """Concurrent iterations of the loop over ``networks``, ``sets`` or ``ablations``."""
        return int(getattr(self.cluster.parallelism, kind)) if self.cluster else 2

    @property
    def parts(self) -> Mapping[str, int]:
        """Number of pods that share the evaluation of a test set, where it is more than one."""
        return self.cluster.parts if self.cluster else {}

    @property
    def config(self) -> dsl.PipelineConfig | None:
        """Deadline and clean-up of the whole run."""
        if self.cluster is None:
            return None
        ending = self.cluster.ending
        return dsl.PipelineConfig(
            ttl_seconds_after_success=ending.ttl_success,
            ttl_seconds_after_failure=ending.ttl_failure,
            active_deadline_seconds=ending.deadline,
        )

    @property
    def keeps_models(self) -> bool:
        """Whether the steps share a folder, in which trainings keep their weights."""
        return self.cluster is not None and self.cluster.stores_folder is not None

    def trainer(self, name: str) -> dict[str, Any] | None:
        """Arguments of the step ``name`` as a TrainJob; None for a training in the step's pod."""
        if self.cluster is None or self.cluster.trainer is None:
            return None
        step, trainer = self.cluster.step(name), self.cluster.trainer
        return {
            "nodes": trainer.nodes,
            "runtime": trainer.runtime,
            "shared": trainer.shared,
            "poll": trainer.poll,
            "restarts": trainer.restarts,
            "image": step.image or self.cluster.image,
            "deadline": step.timeout or 0,
            "labels": self.cluster.labels,
            "annotations": self.cluster.annotations,
            "pull_secrets": list(self.cluster.pull_secrets),
            "security": _of_pods(self.cluster.security),
        }

    def __call__(self, name: str, task: Any, about: str = "") -> Any:
        """Apply the settings of the step ``name`` to ``task``; returns it.

        Args:
            about: what the task works on, for its name on the server, as far as it is known when
                the pipeline is compiled: Kubeflow has no name for one iteration of a loop.
        """
        task.set_display_name(
            f"{unnumbered(task.name)}: {about}" if about else unnumbered(task.name)
        )
        task.set_caching_options(name in CACHED)
        if self.cluster is None:
            return task
        step = self.cluster.step(name)
        if step.cache is not None:
            task.set_caching_options(step.cache)
        task.set_container_image(step.image or self.cluster.image)
        _set_resources(task, step)
        _set_scheduling(task, step)
        _set_timeout_and_retries(task, step)
        _set_common(task, self.cluster)
        return task


def _set_resources(task: Any, step: Step) -> None:
    if step.cpu:
        task.set_cpu_request(step.cpu).set_cpu_limit(step.cpu)
    if step.memory:
        task.set_memory_request(step.memory).set_memory_limit(step.memory)
    if step.gpus:
        task.set_accelerator_type(step.gpu_type or "nvidia.com/gpu")
        task.set_accelerator_limit(step.gpus)
    if step.shm:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=step.shm)


def _set_scheduling(task: Any, step: Step) -> None:
    for key, value in (step.node_selector or {}).items():
        kubernetes.add_node_selector(task, key, value)
    for each in step.tolerations or []:
        kubernetes.add_toleration(
            task,
            key=each.key,
            operator=each.operator,
            value=each.value,
            effect=each.effect,
            toleration_seconds=each.seconds,
        )


def _set_timeout_and_retries(task: Any, step: Step) -> None:
    if step.timeout:
        kubernetes.set_timeout(task, step.timeout)
    if step.retries and step.retries.count:
        task.set_retry(
            step.retries.count,
            backoff_duration=f"{step.retries.wait}s",
            backoff_factor=step.retries.factor,
            backoff_max_duration=f"{step.retries.longest}s",
        )


def _set_common(task: Any, cluster: Cluster) -> None:
    """Environment, user, secrets, volumes and labels, which are the same for every step."""
    variables = cluster.environment | {environment.IMAGE_DIGEST.name: cluster.digest}
    if cluster.checkpoints:
        variables |= {environment.CHECKPOINTS.name: cluster.checkpoints}
    if cluster.stores_folder:
        variables |= {environment.STORES.name: cluster.stores_folder}
    for key, value in variables.items():
        task.set_env_variable(key, value)
    for variable in (environment.CAMPAIGN.name, environment.KFP_RUN_ID.name):
        kubernetes.use_field_path_as_env(task, variable, RUN_LABEL)
    for secret in cluster.secrets:
        kubernetes.use_secret_as_env(task, secret.name, secret.keys, optional=secret.optional)
    for volume in cluster.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.path, volume.sub_path)
    kubernetes.set_security_context(
        task,
        run_as_user=cluster.security.user,
        run_as_group=cluster.security.group,
        run_as_non_root=True,  # the only part of Pod Security "restricted" that Kubeflow leaves out
    )
    kubernetes.set_image_pull_policy(task, cluster.pull_policy)
    if cluster.pull_secrets:
        kubernetes.set_image_pull_secrets(task, cluster.pull_secrets)
    for key, value in cluster.labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in cluster.annotations.items():
        kubernetes.add_pod_annotation(task, key, value)


def _of_pods(security: Security) -> dict[str, Any]:
    """The user and group of a TrainJob's pods, to which its volumes then belong."""
    group = security.group or security.user
    wanted = {"runAsUser": security.user, "runAsGroup": security.group, "fsGroup": group}
    return {name: number for name, number in wanted.items() if number is not None}
