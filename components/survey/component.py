"""The test sets of a task that the data source has."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def survey(
    profile: str,
    task: str,
    variant: str,
    ratio: int,
    sets: List[str],  # noqa: UP006
    data_source: str,
    data_version: str,
    code_version: str,
    image_digest: str,
    page: dsl.Output[dsl.Markdown],
) -> List[dict]:  # noqa: UP006
    """List the evaluations of one network for which the data exist; missing sets are skipped.

    Args:
        profile: "sample" or "paper", as in params.yaml; no other setting changes the data.
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, 0 for the other tasks.
        sets: the requested test sets, of any task.
        data_source: folder with the datasets in their official layout, or address of a git
            repository with DVC.
        data_version: commit of the repository, or any text that identifies the folder's content.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        page: which of the sets exist in the data source.

    Returns:
        One mapping for each existing set: dataset, variant, ratio.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.survey_sets import available_test_sets

    check_pins(code=code_version, image=image_digest)
    found, text = available_test_sets(profile, task, sets, data_source, data_version)
    Path(page.path).write_text(text, encoding="utf-8")
    return [{"dataset": name, "variant": variant, "ratio": ratio} for name in found]
