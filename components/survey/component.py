"""Which test sets of a task the data source has."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def survey(
    params: str,
    task: str,
    sets: List[str],  # noqa: UP006
    data_source: str,
    data_version: str,
    page: dsl.Output[dsl.Markdown],
) -> List[str]:  # noqa: UP006
    """Choose the test sets of one task that are at hand, so that an absent one stops nothing.

    Args:
        params: the text of params.yaml.
        task: derain, deblur, denoise or cs.
        sets: the test sets that are wanted, of any task.
        data_source: folder of official trees, or the address of a git repository with DVC.
        data_version: commit of the repository, or a word for the folder's content.
        page: which sets are there and which are not.

    Returns:
        The names of the sets that are there.
    """
    from pathlib import Path

    from dgunet.config import parse_params
    from dgunet.stages.survey import survey as run

    found, text = run(parse_params(params), task, sets, data_source, data_version)
    Path(page.path).write_text(text)
    return found
