"""A protocol as text, for the terminal and for the documentation."""

from __future__ import annotations

import textwrap
from typing import Any

from dgunet.evaluation.metric_protocol import Protocol

_LABELS = {
    "tables": "tables",
    "reads": "read and rounding",
    "colour": "colour",
    "data_range": "data range",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "averaging": "average",
    "self_ensemble": "self-ensemble",
    "padding": "padding",
    "clipping": "clipping",
    "source": "source",
    "silent": "paper silent",
}


def as_text(protocol: Protocol) -> str:
    """Format ``protocol`` for a terminal, wrapped at 100 columns."""
    lines = [f"{protocol.name} (version {protocol.version}, digest {protocol.digest[:12]})"]
    for label, value in _facts(protocol):
        first, later = f"  {label + ':':19}", " " * 21
        lines += textwrap.wrap(value, 100, initial_indent=first, subsequent_indent=later)
    return "\n".join(lines)


def as_markdown(protocol: Protocol) -> str:
    """Format ``protocol`` in Markdown: a heading and a list."""
    lines = [f"### `{protocol.name}`, version {protocol.version}", ""]
    lines += [f"- **{label}**: {value}" for label, value in _facts(protocol)]
    return "\n".join(lines)


def _facts(protocol: Protocol) -> list[tuple[str, str]]:
    return [(label, _worded(getattr(protocol, key))) for key, label in _LABELS.items()]


def _worded(value: Any) -> str:
    if isinstance(value, bool):
        return "x8 (mean of eight flips and rotations)" if value else "none, one pass"
    return f"{value:g}" if isinstance(value, float) else str(value)
