"""The sources of datasets and weights as text, for the command line and the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from dgunet.data.acquisition.place_download import place_bytes
from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
from dgunet.data.sources.entries import SourcedFiles, Sources, sources
from dgunet.data.sources.places import ByHand, Place
from dgunet.system.errors import DataError

_HEAD = """\
# Sources

Generated from `dgunet/data/sources/sources.yaml` by `dgunet data sources --markdown`.

The places were collected in {collected} from READMEs, download scripts and issues of public
repositories. **No link was followed from here**: a place is what somebody states, and whether it is
alive is not known. Each place names who states it. Links die and quotas run out; therefore places
are data, in the order in which they are tried, and the file that `DGUNET_SOURCES` names can add or
replace them. "SINA-Net script" is a script with sizes and digests in a public code index that does
not name its repository.

    dgunet data sources Rain100H     # what is known about one dataset
    dgunet data fetch Rain100H       # show the plan, ask for consent, fetch, verify, import
    dgunet data fetch Set11 BSD68 --accept-licence
    dgunet checkpoint fetch released --task derain --variant DGUNet+

A download is accepted only with the stated digest, where somebody states one, and with the pixels
of a known release, where the catalogue knows them. For all others nobody states a digest: then the
one that came is recorded next to the dataset, in `NAME.source.json`. Places of the kinds `page` and
`google-drive-folder` are for people: download in a browser, then run
`dgunet data import NAME PATH`. The same page is the way out when a quota is used up. A folder on
Google Drive is not downloaded automatically, because Drive counts one download for each of its
thousands of files.
"""


def source_lines(names: Sequence[str]) -> list[str]:
    """Return the lines of datasets and weights for a terminal; of all of them without ``names``.

    Raises:
        DataError: for an unknown name.
    """
    known = sources()
    lines = [
        f"Collected {known.collected} from READMEs and scripts; no link was followed, so nobody"
        " here saw a place alive."
    ]
    entries = _entries(known)
    for name in names or entries:
        if name not in entries:
            raise DataError(f"no source is called {name!r}.", f"Known: {', '.join(entries)}.")
        title, places, licence = entries[name]
        lines += ["", f"{name}: {title}", f"  licence: {licence}"]
        for number, place in enumerate(known.places_of(places), start=1):
            lines.append(f"  {number}. {place.name} ({place.kind}): {place.page(known.services)}")
            lines += [f"     {key}: {text}" for key, text in _facts(place)]
    return lines


def sources_markdown() -> str:
    """Return the page ``docs/sources.md``."""
    known = sources()
    parts = [_HEAD.format(collected=known.collected), "\n## Datasets\n"]
    for name in (*CATALOGUE, *FURTHER):
        parts.append(_section(known, name, _entries(known)[name]))
    for title, group in (("Weights", known.weights), ("Restored images", known.outputs)):
        parts.append(f"\n## {title}\n")
        parts += [
            _section(known, name, (entry.title, entry.places, entry.licence))
            for name, entry in group.items()
        ]
    return "".join(parts)


def _section(known: Sources, name: str, entry: tuple[str, tuple[str, ...], str]) -> str:
    title, places, licence = entry
    lines = ["", f"### {name}", "", f"{title}. Licence: {licence}.", ""]
    for number, place in enumerate(known.places_of(places), start=1):
        facts = "; ".join(f"{key}: {text}" for key, text in _facts(place))
        pages = " and ".join(f"<{page}>" for page in place.page(known.services).split(" and "))
        lines.append(f"{number}. `{place.name}` ({place.kind}) {pages}: {facts}")
    return "\n".join(lines) + "\n"


def _entries(known: Sources) -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Title, places and licence of every dataset and of all weights, by name."""
    catalogue = CATALOGUE | FURTHER
    found = {
        name: (catalogue[name].title, entry.places, entry.licence or catalogue[name].licence)
        for name, entry in known.datasets.items()
        if name in catalogue
    }
    files: dict[str, SourcedFiles] = {**known.outputs, **known.weights}
    return found | {name: (one.title, one.places, one.licence) for name, one in files.items()}


def _facts(place: Place) -> list[tuple[str, str]]:
    """What is known of a place, as (label, text)."""
    facts = [("stated by", "; ".join(place.stated_by))]
    if place.agrees:
        facts.append(("agrees", "; ".join(place.agrees)))
    size = None if isinstance(place, ByHand) else place_bytes(place)
    if size is not None:
        facts.append(("size", f"{size:,} bytes"))
    facts += [(algorithm, digest) for algorithm, digest in place.digests.items()]
    if place.digest_by:
        facts.append(("digest by", place.digest_by))
    elif not isinstance(place, ByHand):
        facts.append(("digest", "nobody states one"))
    if isinstance(place, ByHand):
        facts.append(("by hand", place.how))
    facts += [
        (key, text) for key, text in (("licence", place.licence), ("note", place.note)) if text
    ]
    return facts
