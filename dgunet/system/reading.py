"""Reading of untrusted text, JSON and YAML with limits on size, nesting and expansion.

All files that users or other programs may have written are read with these functions. A pipe, a
file of gigabytes, bytes that are not UTF-8 or a document that expands without limit therefore
causes a one-line error that names the file.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from dgunet.system.errors import DataError, DgunetError

TEXT_BYTES = 64 << 20
"""Largest size of a text file; the per-image results of 10,000 images take two megabytes."""

DEPTH = 64
"""Largest nesting depth of lists and mappings."""

NODES = 200_000
"""Largest number of values in a YAML document, with all aliases expanded."""

Kind = type[DgunetError]


def open_regular(path: Path, *, kind: Kind = DataError) -> BinaryIO:
    """Open a regular file for reading; a pipe without a writer does not block.

    Args:
        path: the file.
        kind: class of the error to raise.

    Raises:
        FileNotFoundError: if there is no such file.
        DgunetError: of ``kind``, for a folder, pipe, device or socket, or a file without read
            permission.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise kind(f"{path} cannot be read ({_reason(error)}).") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise kind(f"{path} is not a regular file.", "Replace it with a file.")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, *, limit: int = TEXT_BYTES, kind: Kind = DataError) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        DgunetError: of ``kind``, as for `open_regular`, or if the file is too large.
    """
    with open_regular(path, kind=kind) as file:
        try:
            # read(limit) would allocate the whole limit, regardless of the size of the file.
            size = os.fstat(file.fileno()).st_size
            content = file.read(min(limit, max(size, 1 << 16)) + 1)
        except OSError as error:
            raise kind(f"{path} cannot be read ({_reason(error)}).") from error
    if len(content) > limit:
        raise kind(f"{path} is larger than {limit:,} bytes.", "Check that it is the right file.")
    return content


def read_text(path: Path, *, limit: int = TEXT_BYTES, kind: Kind = DataError) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        FileNotFoundError: if there is no such file.
        DgunetError: of ``kind``, as for `read_bytes` and `decode`.
    """
    return decode(read_bytes(path, limit=limit, kind=kind), str(path), kind=kind)


def decode(content: bytes, origin: str, *, kind: Kind = DataError) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Args:
        content: the bytes.
        origin: where they come from, for errors.
        kind: class of the error to raise.

    Raises:
        DgunetError: of ``kind``, naming the first line that is not UTF-8 or contains a NUL byte.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise kind(
            f"{origin}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8.",
            "Save the file as UTF-8.",
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise kind(f"{origin}, line {line}: it contains a NUL byte.", "The file is damaged.")
    return text


def read_json(path: Path, *, limit: int = TEXT_BYTES, kind: Kind = DataError) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        DgunetError: of ``kind``, as for `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, limit=limit, kind=kind), str(path), kind=kind)


def parse_json(text: str, origin: str, *, kind: Kind = DataError) -> Any:
    """Parse JSON.

    Args:
        text: the text to parse.
        origin: where it comes from, for errors.
        kind: class of the error to raise.

    Raises:
        DgunetError: of ``kind``, if the text is not JSON, is nested too deeply, or has an object
            with two equal keys.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise kind(f"{origin}: the key {shorten(key)} occurs twice.", "Remove one of them.")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError as error:
        raise kind(f"{origin} is nested too deeply.", "The file is damaged.") from error
    except ValueError as error:
        raise kind(f"{origin} is not JSON ({error}).", "The file is damaged.") from error


def read_mapping(path: Path, *, limit: int = TEXT_BYTES, kind: Kind = DataError) -> dict[str, Any]:
    """Read a JSON file whose content is an object.

    Raises:
        FileNotFoundError: if there is no such file.
        DgunetError: of ``kind``, as for `read_json`, or if the content is not an object.
    """
    content = read_json(path, limit=limit, kind=kind)
    if not isinstance(content, dict):
        raise kind(f"{path} contains {_name_of(content)}, not an object.", "The file is damaged.")
    return content


class _Loader(yaml.SafeLoader):
    """Loader with the scalars of YAML 1.2: ``yes`` and ``0123`` are strings, ``1e-4`` a number."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - declared so by PyYAML


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), _first)


def parse_yaml(text: str, origin: str, *, kind: Kind = DataError) -> Any:
    """Parse YAML with the rules of YAML 1.2 for plain scalars.

    ``yes``, ``0123`` and ``12:34`` are strings, not a boolean or a number in another base.

    Args:
        text: the text to parse.
        origin: where it comes from, for errors.
        kind: class of the error to raise.

    Raises:
        DgunetError: of ``kind``, naming the line where possible, if the text is not YAML, a key
            occurs twice, a value contains itself, or the document with all aliases expanded is too
            large or nested too deeply.
    """
    try:
        _check_events(text, origin, kind)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_node(node, origin, kind)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except _YAML_FAULTS as error:
        raise kind(f"{origin} is not YAML: {' '.join(str(error).split())[:300]}.") from error


_YAML_FAULTS = (
    yaml.YAMLError,
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
)
"""Errors that PyYAML raises; all but the first occur for ``!!timestamp x``, ``!!int ""`` etc."""


def _check_events(text: str, origin: str, kind: Kind) -> None:
    # The parser does not recurse but everything after it does, so the depth is checked here.
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_EVENTS)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH or count > 2 * NODES:
            what = "is nested too deeply" if depth > DEPTH else "contains too many values"
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise kind(f"{origin}, line {line}: it {what}.", "Check that it is the right file.")


_EVENTS: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_node(top: yaml.Node, origin: str, kind: Kind) -> None:
    known: dict[int, tuple[int, int]] = {}
    open_nodes: set[int] = set()

    def extent(node: yaml.Node) -> tuple[int, int]:
        """Return the number of values in a node with all aliases expanded, and its depth."""
        if id(node) in known:
            return known[id(node)]
        line = node.start_mark.line + 1
        if id(node) in open_nodes:
            raise kind(f"{origin}, line {line}: an alias refers to a value that contains it.")
        open_nodes.add(id(node))
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(node, origin, kind)
            inner = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        parts = [extent(part) for part in inner]
        size = 1 + sum(part[0] for part in parts)
        depth = 1 + max((part[1] for part in parts), default=0)
        if size > NODES or depth > DEPTH + 1:
            what = f"more than {NODES:,} values" if size > NODES else "values nested too deeply"
            raise kind(
                f"{origin}, line {line}: its aliases expand to {what}.",
                "Write the values without aliases.",
            )
        open_nodes.discard(id(node))
        known[id(node)] = size, depth
        return size, depth

    extent(top)


def _refuse_twice(node: yaml.MappingNode, origin: str, kind: Kind) -> None:
    seen: set[Hashable] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        name = (key.tag, key.value)
        if name in seen:
            line = key.start_mark.line + 1
            raise kind(
                f"{origin}, line {line}: the key {shorten(key.value)} occurs twice.",
                "Remove one of them.",
            )
        seen.add(name)


def shorten(value: object, length: int = 80) -> str:
    """Return ``repr(value)`` for an error, cut to ``length`` characters; fast for huge values."""
    if isinstance(value, str | bytes):
        text = repr(value[: 2 * length])
    elif isinstance(value, int | float | None):
        text = repr(value)
    else:
        text = _brief(length).repr(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def shorten_bare(text: str, length: int = 80) -> str:
    """Return ``text`` for an error: escaped, without quotes, cut to ``length`` characters."""
    printable = repr(text[: 2 * length])[1:-1]
    return printable if len(printable) <= length else f"{printable[: length - 3]}..."


def _brief(length: int) -> reprlib.Repr:
    """Return a formatter that only visits the first values of lists and mappings."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother = 3, length, length
    return brief


def _name_of(content: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(content), f"the value {shorten(content)}")


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
