"""Data cards: catalogue entries as text, for the command line and the documentation."""

from __future__ import annotations

from dgunet.data.catalogue.entries import CATALOGUE, FURTHER, DatasetInfo, dataset
from dgunet.data.catalogue.release import Release


def card_fields(info: DatasetInfo) -> list[tuple[str, str]]:
    """Rows of a dataset's card, as (label, text)."""
    fields = [
        ("title", info.title),
        ("task", f"{info.task}, {info.role}"),
        ("size", f"{info.pairs:,} pairs, {info.images:,} images"),
        *((("print", info.print_note),) if info.print_note else ()),
        *(("release", _release(release)) for release in info.releases),
        *(("used in", cells) for cells in _cells(info)),
        ("protocol", info.protocol),
        ("files", info.naming),
        ("pairing", info.pairing),
        ("variants", info.variants),
        ("licence", info.licence),
        ("citation", info.citation),
        ("source", info.url),
    ]
    fields += [
        ("tree", f"{tree.folder} ({tree.layout}{_options(tree.options)})") for tree in info.trees
    ]
    fields += [
        ("part", f"{part.name}, {part.pairs:,} pairs ({part.citation})") for part in info.parts
    ]
    fields += [("also met", f"{count:,} pairs: {means}") for count, means in info.counts.items()]
    if info.sizes:
        fields.append(("sizes", " or ".join(info.sizes)))
    if info.input_lift is not None:
        text = f"mean brightness of degraded minus clean images {info.input_lift:+.1f} grey levels"
        fields.append(("input", f"{text}. {info.lift_means}"))
    if info.known_pixels:
        fields.append(("digests", f"in pixels.csv: {info.known_pixels}"))
    if info.further:
        fields.insert(1, ("further", info.further))
    if info.twelfth:
        fields.insert(1, ("twelfth set", info.twelfth))
    return fields


def _release(release: Release) -> str:
    """One release: what is in it, how it is recognised, who says so, and the mend."""
    facts = [f"{release.pairs:,} pairs"]
    if release.incomplete is not None:
        degraded, clean = release.incomplete
        facts = [f"for example {degraded:,} degraded and {clean:,} clean images"]
    if release.extra:
        facts.append(f"and {', '.join(release.extra)} without counterpart")
    if release.input_psnr is not None:
        facts.append(f"degraded images of {release.input_psnr:.2f} dB on Y on average")
    if release.digest:
        facts.append(f"digest {release.digest}")
    last = "The published numbers were made with it." if release.published else release.mend
    return f"{release.name}: {'; '.join(facts)} ({release.stated_by}). {last}"


def _cells(info: DatasetInfo) -> list[str]:
    """Cells of the paper's tables that use a dataset, one text per table."""
    from dgunet.paper import published
    from dgunet.paper.cell_positions import slots

    lines = []
    for table in map(published.table, info.tables):
        if info.role == "train":
            lines.append(f"Table {table.number}: training of every network in the authors' cells")
            continue
        ours = [
            slot
            for slot in slots(table, "reproduced")
            if info.name in slot.datasets
            and any(place[:2] == (slot.paper_row, slot.paper_column) for place in table.cells)
        ]
        rows, columns = (
            ", ".join(dict.fromkeys(names))
            for names in (
                (slot.paper_row for slot in ours),
                (slot.paper_column for slot in ours),
            )
        )
        metrics = "" if table.methods == "none" else f"; {', '.join(table.metrics)}"
        lines.append(f"Table {table.number}: rows {rows}; columns {columns}{metrics}")
    return lines or ["none of the paper's tables"]


def card_lines(name: str) -> list[str]:
    """Lines of the card of dataset ``name``, for a terminal.

    Raises:
        DataError: for an unknown name.
    """
    info = dataset(name)
    return [info.name, *(f"  {label + ':':13}{text}" for label, text in card_fields(info))]


def _options(options: dict[str, object]) -> str:
    return "".join(f", {key}: {value}" for key, value in options.items())


def cards_markdown() -> str:
    """All cards, in the catalogue's order, as one Markdown document."""
    parts = [_HEAD]
    for info in (*CATALOGUE.values(), *FURTHER.values()):
        rows = "".join(f"| {label} | {_cell(text)} |\n" for label, text in card_fields(info))
        parts.append(f"\n## {info.name}\n\n| | |\n|---|---|\n{rows}")
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_HEAD = """# Data cards

Generated from `dgunet/data/catalogue/catalogue.yaml` by `dgunet data cards`; do not edit.
"""
