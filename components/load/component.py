"""Published or own weights, checked by their digest."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def load(
    weights: str,
    weights_sha256: str,
    task: str,
    code_version: str,
    image_digest: str,
    model: dsl.Output[dsl.Model],
):
    """Bring a checkpoint of the authors' code or of ours.

    Args:
        weights: http(s)://, s3:// or a path in the container; .safetensors are ours.
        weights_sha256: digest of that file; another one is refused.
        task: derain, deblur, denoise or cs.
        code_version: what `dgunet pipeline versions` says; the step refuses other code.
        image_digest: digest of the image; the step refuses another.
        model: folder with network.safetensors; where it comes from is in the metadata.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.load_weights import load_weights

    check_pins(code=code_version, image=image_digest)
    model.metadata.update(load_weights(weights, weights_sha256, task, Path(model.path)))
