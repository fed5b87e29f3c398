"""A trained network, identified by the SHA-256 of its weights alone."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def keep_model(checkpoint: str, model: dsl.Output[dsl.Model]):
    """Give equal weights the same artifact in every run, so that their evaluations are cached.

    The step itself is cached by the digest. A training has written the weights to the folder for
    stores on the volume (DGUNET_STORES).

    Args:
        checkpoint: SHA-256 of the weights, as the train step returns it.
        model: folder with network.safetensors; its metadata is that of the first training that
            made these weights.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.kept_models import copy_kept_model

    model.metadata.update(copy_kept_model(checkpoint, Path(model.path)))
