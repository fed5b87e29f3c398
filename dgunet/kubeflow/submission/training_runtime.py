"""Whether the cluster has the training runtime of the TrainJobs, read before a submission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgunet.kubeflow.pipeline.graph import chosen_graph, pipeline_graph
from dgunet.kubeflow.submission import pod_logs


def trains_in_trainjobs(document: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether a run of the pipeline with these arguments creates TrainJobs.

    Args:
        document: the pipeline's IR.
        arguments: of the run.
    """
    root = chosen_graph(pipeline_graph(document), arguments)
    return any(node.step == "train-nodes" for node in root.walk())


def runtime_warning(namespace: str, runtime: str) -> str:
    """A warning if the cluster of the current kubectl context lacks this ClusterTrainingRuntime.

    It is no error, because that context may belong to another cluster than the pipelines.

    Args:
        namespace: of the run.
        runtime: name of the ClusterTrainingRuntime.

    Returns:
        One line; "" if the runtime exists, and without a kubeconfig, a permission or a response.
    """
    from dgunet.kubeflow.trainer.api import ClusterError, TrainJobs, UnreachableError

    try:
        TrainJobs(pod_logs.connect().api_client, namespace, patience=0).check_runtime(runtime)
    except (pod_logs.NoClusterError, UnreachableError):
        return ""
    except ClusterError as error:
        return (
            f"warning: the train steps will fail: {error.message} {error.hint} Without Kubeflow"
            " Trainer, remove trainer: from the cluster file."
        )
    return ""
