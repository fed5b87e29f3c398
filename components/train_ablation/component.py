"""One network of Tables 5 and 6: from the prepared Rain13K to weights."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def train_ablation(
    params: str,
    name: str,
    processes: int,
    code_version: str,
    image_digest: str,
    store: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Train one variant of DGUNet+ on the GPUs of one pod, with torchrun if it has several.

    Args:
        params: the text of params.yaml.
        name: name of the ablation, e.g. stages-9 or without-fgdm.
        processes: number of processes that share a batch; 0 for one per GPU of the pod.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        store: the prepared Rain13K.
        model: folder of the weights and the loss curve; the checkpoint hash is in the metadata.
        metrics: mean loss of the first and of the last tenth of the steps.

    Returns:
        SHA-256 of the weights.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.launch import train_on_machine
    from dgunet.kubeflow.steps.model_facts import record_model
    from dgunet.kubeflow.steps.prepared_stores import find_store
    from dgunet.terms import ABLATION_TASK, ABLATION_VARIANT

    check_pins(code=code_version, image=image_digest)
    weights = train_on_machine(
        params,
        ABLATION_TASK,
        variant=ABLATION_VARIANT,
        ablation=name,
        store=find_store(Path(store.path)),
        out=Path(model.path),
        processes=processes,
    )
    return record_model(weights, model, metrics, code_version=code_version, store=store)
