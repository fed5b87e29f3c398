"""What every bundle has: index, description, stand-alone verifier, seal, signature, zip file."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dgunet.system import files
from dgunet.system.environment import for_child
from dgunet.system.errors import ConfigError
from dgunet.system.seals import write_seal
from dgunet.tools.bundles import crate, signing, standalone
from dgunet.tools.bundles.contents import (
    environment,
    protocol_definitions,
    refuse_private,
    write_bill_of_materials,
)
from dgunet.tools.bundles.standalone import FORMAT, INDEX

VERIFIER = "verify.py"

README = """# {title}

{text}

    python verify.py              # Python 3.8 or newer, nothing else, no network
    dgunet verify FOLDER          # more thorough, with the package dgunet
    sha256sum --check SHA256SUMS  # hashes alone

| file | content |
|---|---|
| `evaluations/*/per_image.parquet`, `.csv` | scores of single images, the same in both |
| `evaluations/*/summary.json` | their means |
| `evaluations/*/folder.sha256` | seal of the folder it was copied from, with hashes of the images |
| `tables/`, `cells.json` | the tables; their cells in full precision |
| `claims/` | the paper's claims and the verdicts on them |
| `trainings/` | record and curves of each training, by the SHA-256 of its weights |
| `runs.json` | parameters, metrics and tags of the runs behind the evaluations |
| `configuration/`, `prepared/` | settings, pipeline, lock files; manifests of the test sets |
| `protocols.json`, `environment.json`, `sbom.*` | how scores are defined; versions; packages |
| `bundle.json` | what is in the bundle; the weights by their SHA-256 |
| `ro-crate-metadata.json` | RO-Crate 1.1 |
| `signature.dsse.json` | if it is signed: an in-toto statement in a DSSE envelope |

It has no images, and not every bundle has all of these. Whoever edits a bundle can edit
`verify.py` too: use a copy that you trust.
"""


@dataclass
class Draft:
    """A bundle that is being made.

    Attributes:
        folder: where its files are written.
        title: its name.
        text: one sentence about it.
        index: what ``bundle.json`` states beyond the format.
        protocols: names of the protocols that are used.
        private: folders that no file may name.
    """

    folder: Path
    title: str = ""
    text: str = ""
    index: Mapping[str, Any] | None = None
    protocols: Iterable[str] = ()
    private: tuple[Path, ...] = ()


@contextmanager
def new_bundle(out: Path, home: Path | None, key: Path | None) -> Iterator[Draft]:
    """Yield a draft to fill; describe, seal and sign it, and move it to ``out``.

    Args:
        out: the bundle: a zip file if its name ends so, otherwise a folder.
        home: folder of the project, or None.
        key: PEM file of the private key that signs it, or None.

    Raises:
        ConfigError: if ``out`` exists, or ``key`` is no such key.
        DataError: if the bundle would name a path, a secret or the name of this machine.
    """
    if os.path.lexists(out):
        raise ConfigError(f"{out} exists.", "Name a new folder or a new .zip file.")
    private_key = signing.load_key(key) if key else None
    with files.partial_folder(out) as folder:
        draft = Draft(folder)
        yield draft
        _complete(draft, home)
        refuse_private(folder, (*draft.private, Path.home()), for_child())
        write_seal(folder, [name for name in _names(folder) if name != standalone.SEAL])
        if private_key is not None:
            signing.sign(folder, private_key)
        if out.suffix == ".zip":
            with files.atomic_path(out) as temporary:
                _pack(folder, temporary)
        else:
            files.sync_tree(folder)
            files.rename(folder, out)


def _complete(draft: Draft, home: Path | None) -> None:
    """Write the files that every bundle has."""
    folder = draft.folder
    files.write_json(folder / "protocols.json", protocol_definitions(draft.protocols))
    files.write_json(folder / "environment.json", environment(home))
    write_bill_of_materials(home, folder)
    shutil.copyfile(standalone.__file__, folder / VERIFIER)
    files.write_text(folder / "README.md", README.format(title=draft.title, text=draft.text))
    content = {"format": FORMAT, "title": draft.title, **(draft.index or {})}
    files.write_json(folder / INDEX, content)
    day = datetime.now(UTC).date().isoformat()
    described = crate.describe(_names(folder), title=draft.title, text=draft.text, date=day)
    files.write_json(folder / crate.METADATA, described)


def _names(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _pack(folder: Path, out: Path) -> None:
    """Write a zip file: the same files give the same bytes."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in _names(folder):
            member = zipfile.ZipInfo(name)  # of 1980, like every ZipInfo without a time
            member.external_attr = 0o100644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            with (folder / name).open("rb") as source, packed.open(member, "w") as target:
                shutil.copyfileobj(source, target)
