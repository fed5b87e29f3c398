"""Several results in one folder, so that nested loops can be collected."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def gather(
    results: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    gathered: dsl.Output[dsl.Dataset],
):
    """Put the summaries and per-image metrics of several evaluations into one folder.

    Args:
        results: outputs of evaluate steps.
        gathered: one subfolder per result; restored images are not copied.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.gather_results import gather_results

    names = gather_results([Path(result.path) for result in results], Path(gathered.path))
    gathered.metadata.update(evaluations=len(names), names=" ".join(names))
