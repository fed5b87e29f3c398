"""Croissant 1.1 descriptions of prepared sets and of the sample data, as JSON-LD.

The format is https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. A description has
the names, sizes and hashes of files, never an image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dgunet.data.catalogue.entries import CATALOGUE, DatasetInfo, dataset
from dgunet.data.sample.photographs import PHOTOGRAPHS
from dgunet.data.store.manifest import StoreManifest
from dgunet.data.store.recognition import read_complete_pairs
from dgunet.evaluation.protocols import protocol
from dgunet.system import files
from dgunet.system.errors import DataError
from dgunet.tools.media_types import media_type

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
FILE = "croissant.json"
SAMPLE = "sample"
SAMPLE_DATE = "2026-11-22"
"""Day on which the sample's pixels last changed, YYYY-MM-DD."""
SAMPLE_PAGE = "docs/sample-data.md"
"""The sample has no page of its own on the web; this one is in the repository."""
VALUE_RANGE = "uint8: 0 to 255; float32: 0 to 1"

_TERMS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
    *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_LICENCES = {  # beginning of the catalogue's text: address of the licence that it names
    "CC BY 4.0 ": "https://creativecommons.org/licenses/by/4.0/",
    "MIT ": "https://spdx.org/licenses/MIT.html",
}
_PHOTOGRAPH_LICENCES = {
    "CC0 1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "public domain": "https://creativecommons.org/publicdomain/mark/1.0/",
}
_AUTHOR = re.compile(r"(?:[A-Z]\. )+[A-Z][\w-]+(?P<others> et al\.)?")

_COLUMNS = (
    ("id", "sc:Text", "name of the pair, unique in the set"),
    ("height", "sc:Integer", "height of both images, in pixels"),
    ("width", "sc:Integer", "width of both images, in pixels"),
    ("channels", "sc:Integer", "1: grey, 3: RGB"),
    ("dtype", "sc:Text", f"type of the pixels and their range: {VALUE_RANGE}"),
    ("input", "sc:ImageObject", "degraded image, H x W x C; null in compressive sensing"),
    ("target", "sc:ImageObject", "clean image, H x W x C; null if only a server has it (DND)"),
    ("input_file", "sc:Text", "file of the degraded image, relative to the folder of the datasets"),
    ("target_file", "sc:Text", "file of the clean image, relative to the folder of the datasets"),
    ("input_sha256", "sc:Text", "SHA-256 of input_file"),
    ("target_sha256", "sc:Text", "SHA-256 of target_file"),
)
"""Columns of a prepared set's files, as `dgunet.data.store.records.schema` has them."""

_PREPARATION = {
    "profile": "sample: small stand-ins; paper, reduced: the dataset itself",
    "protocol": "how its images are scored, with the version",
    "recipe": "how it was prepared",
    "layout": "raw: the pixels of an image row by row; compact: a list of compressed tiles",
    "records": "number of pairs",
    "published_records": "number of pairs of the published release",
    "complete": "whether it is the published release, with all of its pairs",
    "doubts": "reasons why it is not",
    "data_sha256": "SHA-256 over the ids, shapes and pixels of all pairs, in order",
    "value_range": "range of the pixels by their type",
}


def as_text(content: Mapping[str, Any]) -> str:
    """A description as the text of its file."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def store_metadata(folder: Path) -> dict[str, Any]:
    """Describe the prepared set in ``folder``; its shards are not read.

    Raises:
        DataError: if there is no prepared set, or its manifest was changed.
    """
    return describe_store(StoreManifest.read(folder), folder / "manifest.json")


def describe_store(manifest: StoreManifest, path: Path) -> dict[str, Any]:
    """Describe a prepared set from its manifest; addresses of files are relative to its folder.

    Args:
        manifest: of the set.
        path: its file, whose size and hash are stated.
    """
    info = dataset(manifest.dataset)
    shards = [
        _file(shard.file, shard.sha256, shard.bytes, f"{shard.records} pairs")
        for shard in manifest.shards
    ]
    listed = _file(path.name, files.sha256_file(path), path.stat().st_size, "list of the files")
    file_set = {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": "files of Apache Arrow with the pairs, in the order of their names",
        "encodingFormat": media_type("*.arrow"),
        "includes": "*.arrow",
    }
    about = _sample_of(info) if manifest.profile == SAMPLE else published_facts(info)
    about["description"] += (
        f" Prepared with the recipe {manifest.recipe} as {manifest.count} pairs; contentUrl is"
        " relative to the folder of the prepared set."
    )
    if manifest.profile != SAMPLE and not manifest.complete:
        reasons = "; ".join(manifest.doubts) or f"it has {manifest.published_count} pairs"
        about["description"] += f" It is not the complete published release: {reasons}."
    about["version"] = f"{manifest.version}.0.0+{manifest.digest[:12]}"
    return _dataset(
        about,
        [*shards, file_set, listed],
        [_pairs_of_shards(), _inline("preparation", [_preparation(manifest)], _PREPARATION)],
    )


def _preparation(manifest: StoreManifest) -> dict[str, Any]:
    rules = protocol(manifest.protocol)
    return {
        "profile": manifest.profile,
        "protocol": f"{rules.name}/{rules.version}",
        "recipe": manifest.recipe,
        "layout": manifest.layout,
        "records": manifest.count,
        "published_records": manifest.published_count,
        "complete": manifest.complete,
        "doubts": "; ".join(manifest.doubts),
        "data_sha256": manifest.digest,
        "value_range": VALUE_RANGE,
    }


def sample_metadata(root: Path) -> dict[str, Any]:
    """Describe all files and pairs of the sample data in ``root``.

    Raises:
        DataError: if there is no sample in ``root``, or a set of it is damaged.
    """
    if not (root / "README.md").is_file():
        raise DataError(f"{root} has no sample data.", "Get it: `dvc pull data`.")
    found = sorted(path for path in root.rglob("*") if path.is_file())
    listed = [
        _file(path.relative_to(root).as_posix(), files.sha256_file(path), path.stat().st_size, "")
        for path in found
    ]
    about = _sample_about(
        SAMPLE,
        f"Small images in the folder trees of {len(CATALOGUE)} datasets, made from free"
        " photographs, with which the whole pipeline runs. They are not these datasets. contentUrl"
        " is relative to data/sample.",
    )
    rows = [row for info in CATALOGUE.values() for row in _pairs_of_set(info, root)]
    columns = {
        "id": "name of the set and of the pair",
        "protocol": "how images of the set are scored, with the version",
        "role": "test or train",
        **{name: text for name, _, text in _COLUMNS if name in rows[0] and name != "id"},
    }
    return _dataset(about, listed, [_inline("pairs", rows, columns)])


def _pairs_of_set(info: DatasetInfo, root: Path) -> Iterable[dict[str, Any]]:
    rules = protocol(info.protocol)
    for pair in read_complete_pairs(info, root):
        image = pair.input or pair.target
        assert image is not None
        height, width, channels = image.shape()
        places = {
            name: half.path.relative_to(root).as_posix() if half else ""
            for name, half in (("input_file", pair.input), ("target_file", pair.target))
        }
        yield {
            "id": f"{info.name}/{pair.id}",
            "protocol": f"{rules.name}/{rules.version}",
            "role": info.role,
            "height": height,
            "width": width,
            "channels": channels,
            "dtype": image.load().dtype.name,
            **places,
        }


def published_facts(info: DatasetInfo) -> dict[str, Any]:
    """What the catalogue states of a dataset; a licence is named as its source does."""
    address = next((url for text, url in _LICENCES.items() if info.licence.startswith(text)), None)
    stated = {"@type": "sc:CreativeWork", "name": info.licence}
    return {
        "name": info.name,
        "description": f"{info.title}. {info.variants}",
        "license": [address, stated] if address else stated,
        "citeAs": info.citation,
        "url": info.url,
        "creator": _authors(info.citation),
        "datePublished": info.citation[-4:],
        "keywords": [info.task, info.role, info.protocol],
    }


def _authors(citation: str) -> list[dict[str, str]]:
    """The authors that a citation of the catalogue names, as persons; "et al." as a group."""
    found = []
    for part in citation.split(", "):
        if not (match := _AUTHOR.fullmatch(part)):
            break
        kind = "sc:Organization" if match["others"] else "sc:Person"
        found.append({"@type": kind, "name": part})
    return found


def _sample_of(info: DatasetInfo) -> dict[str, Any]:
    text = (
        f"Small images in the folder tree of {info.name}, made from free photographs. They are not"
        f" {info.name}."
    )
    return _sample_about(f"{info.name}-sample", text, [info.task, info.role, info.protocol])


def _sample_about(name: str, text: str, keywords: Iterable[str] = ()) -> dict[str, Any]:
    return {
        "name": name,
        "description": text,
        "license": [
            _PHOTOGRAPH_LICENCES[kind] for kind in sorted({p.licence for p in PHOTOGRAPHS})
        ],
        "citeAs": "The dgunet developers, dgunet: a reproduction of Deep Generalized Unfolding "
        "Networks for Image Restoration",
        "url": SAMPLE_PAGE,
        "creator": {"@type": "sc:Organization", "name": "The dgunet developers"},
        "creditText": f"Photographs: {'; '.join(dict.fromkeys(p.author for p in PHOTOGRAPHS))}",
        "datePublished": SAMPLE_DATE,
        "version": "1.0.0",
        "keywords": ["image restoration", SAMPLE, *keywords],
    }


def _dataset(
    about: Mapping[str, Any],
    distribution: list[dict[str, Any]],
    record_sets: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        **about,
        "isLiveDataset": False,
        "distribution": distribution,
        "recordSet": record_sets,
    }


def _file(name: str, digest: str, size: int, text: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": Path(name).name,
        **({"description": text} if text else {}),
        "contentUrl": name,
        "contentSize": f"{size} B",
        "encodingFormat": media_type(name),
        "sha256": digest,
    }


def _pairs_of_shards() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "pairs",
        "name": "pairs",
        "description": "one degraded and one clean image each",
        "key": {"@id": "pairs/id"},
        "field": [
            {
                **_field("pairs", name, kind, text),
                "source": {"fileSet": {"@id": "shards"}, "extract": {"column": name}},
            }
            for name, kind, text in _COLUMNS
        ],
    }


def _inline(name: str, rows: list[dict[str, Any]], texts: Mapping[str, str]) -> dict[str, Any]:
    """A record set whose records are in the description itself."""
    kinds = {bool: "sc:Boolean", int: "sc:Integer", str: "sc:Text"}
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        **({"key": {"@id": f"{name}/id"}} if "id" in texts else {}),
        "field": [
            _field(name, column, kinds[type(rows[0][column])], text)
            for column, text in texts.items()
        ],
        "data": [{f"{name}/{column}": row[column] for column in texts} for row in rows],
    }


def _field(record_set: str, name: str, kind: str, text: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": text,
        "dataType": kind,
    }
