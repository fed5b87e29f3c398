"""The tables as one self-contained HTML page."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def report(
    profile: str,
    dnd_records: str,
    code_version: str,
    page: dsl.Output[dsl.HTML],
    results: dsl.Input[List[dsl.Dataset]] = None,  # noqa: UP006
    ablations: dsl.Input[List[dsl.Dataset]] = None,  # noqa: UP006
):
    """Write the report.

    Args:
        profile: "sample" or "paper", as in params.yaml; no other setting changes the page.
        dnd_records: the scores that DND's server mailed, as a JSON list; "[]" for none.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        page: the six tables, each value with its provenance.
        results: outputs of evaluate or gather steps, for Tables 1-4.
        ablations: outputs of evaluate_ablation steps, for Tables 5 and 6.
    """
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.dnd_records import write_records
    from dgunet.steps.report import make_report
    from dgunet.tracking import project_home

    check_pins(code=code_version)
    folders = [Path(result.path) for result in [*(results or ()), *(ablations or ())]]
    with TemporaryDirectory() as scratch:
        records = write_records(dnd_records, Path(scratch))
        count = make_report(
            profile,
            results=folders,
            out=Path(page.path),
            home=project_home(),
            records=records,
        )
    page.metadata.update(evaluations=count, code_version=code_version)
