"""The paper's tables from any number of results."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def tables(
    profile: str,
    dnd_records: str,
    code_version: str,
    tables: dsl.Output[dsl.Dataset],
    preview: dsl.Output[dsl.Markdown],
    results: dsl.Input[List[dsl.Dataset]] = None,  # noqa: UP006
    ablations: dsl.Input[List[dsl.Dataset]] = None,  # noqa: UP006
):
    """Make Tables 1-6; cells without a run are marked "not run".

    Args:
        profile: "sample" or "paper", as in params.yaml; no other setting changes the tables.
        dnd_records: the scores that DND's server mailed, as a JSON list; "[]" for none.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        tables: CSV, Markdown, LaTeX and Parquet files.
        preview: all tables as one Markdown page.
        results: outputs of evaluate or gather steps, for Tables 1-4.
        ablations: outputs of evaluate_ablation steps, for Tables 5 and 6.
    """
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.dnd_records import write_records
    from dgunet.steps.tables import make_tables

    check_pins(code=code_version)
    out = Path(tables.path)
    folders = [Path(result.path) for result in [*(results or ()), *(ablations or ())]]
    with TemporaryDirectory() as scratch:
        records = write_records(dnd_records, Path(scratch))
        made = make_tables(profile, results=folders, out=out, records=records)
    pages = [path.read_text(encoding="utf-8") for path in sorted(out.glob("table*.md"))]
    Path(preview.path).write_text("\n\n".join(pages), encoding="utf-8")
    tables.metadata.update({f"table{t.number}_data": t.data_digest or "" for t in made})
