"""The seal of a folder of results: the SHA-256 of each of its files in ``SHA256SUMS``.

A seal is a function of the other files, so it is checked by computing it again: every byte of the
folder counts, those of the seal included. It has the format of coreutils, so that
``sha256sum --check SHA256SUMS`` verifies a folder on a machine without this package. A single page
carries the SHA-256 of its text in its last line.

A seal is no signature: a file that was changed together with the seal is not detected by it.
Hidden files are not sealed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dgunet.system import files
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.hidden_files import is_hidden_name
from dgunet.system.reading import read_bytes, shorten
from dgunet.system.safe_paths import check_name

SEAL = "SHA256SUMS"

SEAL_BYTES = 1 << 28
"""Maximum size of a seal, or of a sealed page, that is read."""

_LINE = re.compile(rb"([0-9a-f]{64})  (.+)", re.DOTALL)

_LAST_LINE = re.compile(rb"<!-- SHA-256 of all lines above: ([0-9a-f]{64}) -->\n\Z")

NOTHING: Mapping[str, str] = {}


def is_sealed(folder: Path) -> bool:
    """Return whether ``folder`` has a seal, valid or not."""
    return os.path.lexists(folder / SEAL)


def write_seal(
    folder: Path, names: Iterable[str] | None = None, *, known: Mapping[str, str] = NOTHING
) -> None:
    """Seal ``folder``: the same files give the same bytes.

    Args:
        folder: the folder.
        names: relative paths of its files; all files at any depth if None.
        known: SHA-256 of files by relative path that need not be read again.

    Raises:
        DgunetError: if a file cannot be sealed, or the seal cannot be written.
    """
    digests: dict[str, str] = dict(known)
    odd: list[str] = []
    if names is None:
        digests, odd = _computed(folder, known)
    else:
        digests |= {name: files.sha256_file(folder / name) for name in names}
    if odd:
        raise DataError(f"{folder} cannot be sealed: {odd[0]}.", "Move this file away.")
    files.write_bytes(folder / SEAL, _text(digests))


def check_seal(
    folder: Path,
    *,
    again: str,
    kind: type[DgunetError] = DataError,
    known: Mapping[str, str] = NOTHING,
    what: str = "",
) -> None:
    """Compute the seal of ``folder`` again and compare it with the written one.

    Args:
        folder: the folder.
        again: how to make its files again, as a hint.
        kind: class of the error to raise.
        known: SHA-256 by relative path of files that are verified elsewhere and not read here.
        what: name of what the folder holds, for the error.

    Raises:
        DgunetError: of ``kind``, if there is no seal, or naming the first file that was changed,
            removed or added.
    """
    named = f" ({what})" if what else ""
    if not is_sealed(folder):
        raise kind(f"{folder}{named} is not sealed: it has no {SEAL}.", unsealed_hint(again))
    for fault in seal_faults(folder, known=known):
        raise kind(f"{fault}{named}.", again)


def unsealed_hint(again: str) -> str:
    """What to do about results without a seal."""
    return (
        "They are older than seals, or the seal was removed. `dgunet verify --seal` checks what"
        f" else can be checked and seals them. {again}"
    )


def seal_faults(folder: Path, *, known: Mapping[str, str] = NOTHING) -> list[str]:
    """Return one phrase for each file of a sealed ``folder`` that was changed, removed or added.

    Args:
        folder: a folder with a seal.
        known: as for `check_seal`.
    """
    seal = folder / SEAL
    try:
        written = read_bytes(seal, limit=SEAL_BYTES)
    except FileNotFoundError:
        return [f"{seal} is missing"]
    except DgunetError as error:
        return [error.message.rstrip(".")]
    digests, odd = _computed(folder, known)
    if written == _text(digests) and not odd:
        return []
    return odd + (list(_differences(folder, written, digests)) or [_damaged(seal)] * (not odd))


def sealed_page(page: str) -> str:
    """Return an HTML ``page`` with the SHA-256 of its text as a comment in its last line."""
    above = page.rstrip("\n") + "\n"
    return f"{above}<!-- SHA-256 of all lines above: {files.sha256_bytes(above.encode())} -->\n"


def check_page(path: Path, *, again: str) -> None:
    """Compare the page at ``path`` with the SHA-256 in its last line.

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: if the page was changed, or has no such line.
    """
    content = read_bytes(path, limit=SEAL_BYTES)
    last = _LAST_LINE.search(content)
    if last is None:
        raise DataError(
            f"{path} is not sealed: its last line is not the SHA-256 of the page.",
            f"It is older than seals, or was changed. {again}",
        )
    found = files.sha256_bytes(content[: last.start()])
    if found != (stated := last[1].decode()):
        raise DataError(f"{path} has the SHA-256 {found}; its last line states {stated}.", again)


def _computed(folder: Path, known: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """SHA-256 of all files by relative path, and a phrase for each that cannot have one."""
    digests: dict[str, str] = dict(known)
    odd: list[str] = []
    for name, path in _files(folder):
        if name in digests:
            continue
        try:
            check_name(name)
            if not path.is_file():
                raise ValueError("is not a file")
            digests[name] = files.sha256_file(path)
        except ValueError as error:
            odd.append(f"{folder} holds {shorten(name)}, which {error}")
        except OSError as error:
            odd.append(f"{path} cannot be read ({error.strerror})")
    return digests, odd


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden_name(name))
        for name in sorted(names):
            path = Path(here, name)
            if not is_hidden_name(name) and path != folder / SEAL:
                yield path.relative_to(folder).as_posix(), path


def _text(digests: Mapping[str, str]) -> bytes:
    lines = [f"{digest}  {name}\n" for name, digest in sorted(digests.items())]
    return "".join(lines).encode(errors="surrogateescape")


def _differences(folder: Path, written: bytes, digests: Mapping[str, str]) -> Iterator[str]:
    """Say which files differ from the written seal, whose names are never followed."""
    seal, stated = folder / SEAL, dict[str, str]()
    for number, line in enumerate(written.removesuffix(b"\n").split(b"\n"), start=1):
        if match := _LINE.fullmatch(line):
            stated[match[2].decode(errors="surrogateescape")] = match[1].decode()
        else:
            yield f"{seal} was changed: line {number} is {shorten(line)}"
    for name, digest in digests.items():
        if name not in stated:
            yield f"{folder / name} is not in {SEAL}: it was added, or the seal was changed"
        elif digest != stated[name]:
            yield f"{folder / name} has the SHA-256 {digest}; {SEAL} states {stated[name]}"
    for name in stated.keys() - digests.keys():
        yield f"{folder} lacks {shorten(name)}, which {SEAL} lists"


def _damaged(seal: Path) -> str:
    return f"{seal} was changed: its lines are not in the written order"
