"""One network, as a TrainJob: from a prepared store to weights."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components import IMAGE

# Kubeflow forwards these settings of the task to the nodes; the step itself waits without GPUs.
TO_THE_NODES = [
    dsl.TaskConfigField.RESOURCES,
    dsl.TaskConfigField.KUBERNETES_TOLERATIONS,
    dsl.TaskConfigField.KUBERNETES_NODE_SELECTOR,
    dsl.TaskConfigField.KUBERNETES_AFFINITY,
    dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True),
    dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.KUBERNETES_VOLUMES, apply_to_task=True),
]


@dsl.component(
    base_image=IMAGE,
    packages_to_install=[],
    install_kfp_package=False,
    task_config_passthroughs=TO_THE_NODES,
)
def train_nodes(
    params: str,
    task: str,
    variant: str,
    ratio: int,
    ablation: str,
    processes: int,
    code_version: str,
    image_digest: str,
    image: str,
    nodes: int,
    runtime: str,
    shared: str,
    poll: int,
    restarts: int,
    deadline: int,
    labels: dict,
    annotations: dict,
    pull_secrets: List[str],  # noqa: UP006
    security: dict,
    store: dsl.Input[dsl.Dataset],
    task_config: dsl.TaskConfig,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Train one network on one or several nodes with a TrainJob of Kubeflow Trainer.

    Args:
        params: the text of params.yaml.
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, 0 for the other tasks.
        ablation: name of an ablation of Tables 5 and 6, "" for a network of Tables 1-4.
        processes: number of processes on each node; 0 for one per GPU of the node.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        image: image of the nodes, by digest.
        nodes: number of nodes.
        runtime: name of a ClusterTrainingRuntime.
        shared: path on a volume that the step and all nodes mount.
        poll: seconds between two reads of the job's state.
        restarts: number of restarts after a node was interrupted.
        deadline: seconds until the cluster stops the job; 0 for no deadline.
        labels: of the job and its pods, e.g. the queue of Kueue.
        annotations: of the job and its pods.
        pull_secrets: secrets with registry credentials.
        security: security context of the nodes' pods; empty for that of the runtime.
        store: the prepared training set.
        task_config: the settings of this task, as Kubeflow forwards them to the nodes.
        model: folder of the weights and the loss curve; the checkpoint hash is in the metadata.
        metrics: mean loss of the first and of the last tenth of the steps.

    Returns:
        SHA-256 of the weights.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.model_facts import record_model
    from dgunet.kubeflow.steps.prepared_stores import find_store
    from dgunet.kubeflow.trainer.multi_node import (
        NodeSettings,
        NodeTraining,
        nodes_home,
        train_on_nodes,
    )

    check_pins(code=code_version, image=image_digest)
    training = NodeTraining(
        *(params, task, variant, ratio or None),
        store=find_store(Path(store.path)),
        out=Path(model.path),
        ablation=ablation,
    )
    settings = NodeSettings(
        *(nodes, runtime, shared, image, poll, restarts, deadline),
        labels=labels,
        annotations=annotations,
        pull_secrets=pull_secrets,
        security=security,
        processes=processes,
    )
    weights = train_on_nodes(training, settings, task_config)
    home = nodes_home(training, settings, task_config)
    return record_model(weights, model, metrics, code_version=code_version, store=store, home=home)
