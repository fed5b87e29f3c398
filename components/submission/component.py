"""What to do with results whose targets stay on a benchmark's server (DND)."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def submission(
    results: dsl.Input[dsl.Dataset],
    page: dsl.Output[dsl.Markdown],
):
    """Say which files go to the server and how the mailed score comes back into the tables.

    Args:
        results: what the evaluate step wrote.
        page: the steps, with the digest that ties the score to these results.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.dnd_records import submission_page

    Path(page.path).write_text(submission_page(Path(results.path)), encoding="utf-8")
