"""The authors' weights of one network, downloaded and converted."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def fetch_weights(
    task: str,
    variant: str,
    ratio: int,
    code_version: str,
    image_digest: str,
    model: dsl.Output[dsl.Model],
):
    """Fetch the authors' weights of one network of Tables 1-4.

    The variable DGUNET_ACCEPT_LICENCE of the step accepts their terms; DGUNET_SOURCES adds mirrors.

    Args:
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, 0 for the other tasks.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        model: folder with network.safetensors; its origin and digests are in the metadata.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.released_network import fetch_released_network

    check_pins(code=code_version, image=image_digest)
    facts = fetch_released_network(task, variant, ratio or None, Path(model.path))
    model.metadata.update(facts, code_version=code_version)
