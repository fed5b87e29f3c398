"""The authors' or this project's weights, verified by their digest."""

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
    """Load a checkpoint of this project or of the authors' code.

    Args:
        weights: http(s):// or s3:// address, or a path in the container; files that do not end
            with .safetensors are the authors' checkpoints.
        weights_sha256: digest of that file; a file with another digest is refused.
        task: derain, deblur, denoise or cs.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        model: folder with network.safetensors; its origin is in the metadata.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.load_weights import load_weights

    check_pins(code=code_version, image=image_digest)
    model.metadata.update(load_weights(weights, weights_sha256, task, Path(model.path)))
