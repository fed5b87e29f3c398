"""Which test sets of a task the data source has."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def survey(
    params: str,
    task: str,
    variant: str,
    ratio: int,
    sets: List[str],  # noqa: UP006
    data_source: str,
    data_version: str,
    page: dsl.Output[dsl.Markdown],
) -> List[dict]:  # noqa: UP006
    """List the evaluations of one network whose sets are at hand: an absent one stops nothing.

    Args:
        params: the text of params.yaml.
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, 0 for the other tasks.
        sets: the test sets that are wanted, of any task.
        data_source: folder of official trees, or the address of a git repository with DVC.
        data_version: commit of the repository, or a word for the folder's content.
        page: which sets are there and which are not.

    Returns:
        A mapping for each set that is there: dataset, variant, ratio.
    """
    from pathlib import Path

    from dgunet.config import parse_params
    from dgunet.kubeflow.steps.survey_sets import survey as run

    found, text = run(parse_params(params), task, sets, data_source, data_version)
    Path(page.path).write_text(text, encoding="utf-8")
    return [{"dataset": name, "variant": variant, "ratio": ratio} for name in found]
