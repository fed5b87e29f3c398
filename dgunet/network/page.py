"""The page ``docs/network.md``: a walk through the model, with its numbers counted, not typed."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from dgunet.network.config import TASKS, preset
from dgunet.network.describe import describe, describe_markdown, variants
from dgunet.network.errata import ERRATA

ABLATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("9 stages", {"stages": 9}),
    ("7 stages (the paper's choice)", {}),
    ("5 stages", {"stages": 5}),
    ("3 stages", {"stages": 3}),
    ("2 scales fused", {"fusion_scales": 2}),
    ("1 scale fused", {"fusion_scales": 1}),
    ("w/o FGDM", {"gradient": False}),
    ("w/o SP", {"fusion": "addition"}),
    ("w/o ISFF", {"fusion": "none"}),
)
"""The rows of Tables 5 and 6, as changes of deraining DGUNet+."""


def network_page() -> str:
    """The Markdown of the page."""
    template = files("dgunet.network").joinpath("page.md.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(
        released=describe_markdown(map(describe, variants())),
        paper=describe_markdown(map(describe, variants(TASKS, "paper"))),
        ablations=_ablations(),
        fields=[row.field for row in ERRATA if row.field],
    )


def _ablations() -> str:
    lines = ["| Ablation | Change | Parameters | GFLOPs |", "|---|---|---:|---:|"]
    for name, change in ABLATIONS:
        d = describe(preset("derain", "DGUNet+", **change))
        shown = ", ".join(f"`{key}={value!r}`" for key, value in change.items())
        lines.append(f"| {name} | {shown} | {d.parameters:,} | {d.flops / 1e9:,.3f} |")
    return "\n".join(lines) + "\n"
