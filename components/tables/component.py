"""The paper's tables from any number of results."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def tables(
    params: str,
    results: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    tables: dsl.Output[dsl.Dataset],
    preview: dsl.Output[dsl.Markdown],
):
    """Make Tables 1-6; what was not run says so.

    Args:
        params: the text of params.yaml.
        results: what the evaluate steps wrote.
        tables: CSV, Markdown, LaTeX and Parquet files.
        preview: all tables as one Markdown page.
    """
    from pathlib import Path

    from dgunet.config import parse_params
    from dgunet.stages.tables import tables as run

    out = Path(tables.path)
    run(parse_params(params), results=[Path(result.path) for result in results], out=out)
    pages = [path.read_text() for path in sorted(out.glob("table*.md"))]
    Path(preview.path).write_text("\n\n".join(pages))
