"""Generator of the page ``docs/network.md``, whose numbers are computed from the networks."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from dgunet.network.config import preset
from dgunet.network.describe import describe_markdown, describe_network, paper_networks
from dgunet.network.errata import ERRATA
from dgunet.terms import ABLATION_TASK, ABLATION_VARIANT, ABLATIONS, TASKS


def network_page() -> str:
    """Return the page as Markdown."""
    template = files("dgunet.network").joinpath("page.md.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(template).render(
        released=describe_markdown(map(describe_network, paper_networks())),
        paper=describe_markdown(map(describe_network, paper_networks(TASKS, "paper"))),
        ablations=_ablations(),
        fields=[row.field for row in ERRATA if row.field],
    )


def _ablations() -> str:
    lines = ["| Ablation | Change | Parameters | GFLOPs |", "|---|---|---:|---:|"]
    for ablation in ABLATIONS.values():
        d = describe_network(preset(ABLATION_TASK, ABLATION_VARIANT, **ablation.changes))
        shown = ", ".join(f"`{key}={value!r}`" for key, value in ablation.changes.items())
        lines.append(f"| {ablation.label} | {shown} | {d.parameters:,} | {d.flops / 1e9:,.3f} |")
    return "\n".join(lines) + "\n"
