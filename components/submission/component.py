"""Instructions for results whose targets are on a benchmark's server (DND)."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def submission(
    results: dsl.Input[dsl.Dataset],
    page: dsl.Output[dsl.Markdown],
):
    """Describe which files to send and how to enter the mailed score into the tables.

    Args:
        results: output of the evaluate step.
        page: the instructions, with the digest that binds the score to these results.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.dnd_records import submission_page

    Path(page.path).write_text(submission_page(Path(results.path)), encoding="utf-8")
