"""The report of a dataset check as one HTML page without external files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment

from dgunet.data.check.reports import DatasetReport, Overlap, SharedPhotographs


def html_page(
    reports: list[DatasetReport],
    overlaps: list[Overlap],
    shared: Sequence[SharedPhotographs] = (),
) -> str:
    """Render the page; all text from disk is escaped."""
    source = (resources.files(__package__) / "page.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True).from_string(source)
    return template.render(reports=reports, overlaps=overlaps, shared=shared)
