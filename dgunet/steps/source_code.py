"""The source code that decides what each step computes, with a digest of each file.

The stages of DVC depend on ``build/code/STEP.json``, not on the files themselves: an edit runs the
stages of a step again only if the step can reach the file, and not if the edit is one of a comment
or a docstring. ``python -m dgunet.steps.source_code FOLDER`` writes the files.
"""

import ast
import hashlib
import io
import itertools
import sys
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from dgunet.system.files import write_json

STEPS = ("prepare", "train", "evaluate", "tables")
REPORTING = ("dgunet.tracking", "dgunet.cli")
"""Packages that tell MLflow and people what a step did, and decide none of its outputs."""

_PACKAGE = Path(__file__).parents[1]


def source_digests(package: Path = _PACKAGE) -> dict[str, dict[str, str]]:
    """Return for each of `STEPS` the SHA-256 of each file that decides what the step computes.

    These are the modules that ``dgunet.steps.STEP`` imports, directly or not, and the other files
    (tables, templates) of their packages. Modules without code are left out, and comments,
    docstrings and blank lines do not count.

    Args:
        package: the folder ``dgunet``.

    Returns:
        Digests by path relative to the parent of ``package``, sorted by path.
    """
    known = modules(package)
    edges = cache(lambda name: imports(known[name], known))
    content = cache(_content)
    found = {}
    for step in STEPS:
        names = reached(f"dgunet.steps.{step}", edges)
        folders = {known[name].parent for name in names} - {package}
        files = {known[name] for name in names}
        files |= {path for folder in folders for path in _data_files(folder)}
        found[step] = {
            path.relative_to(package.parent).as_posix(): hashlib.sha256(content(path)).hexdigest()
            for path in sorted(files)
            if path.suffix != ".py" or content(path)
        }
    return found


def modules(package: Path) -> dict[str, Path]:
    """Return the files of a package by the names of their modules, such as ``dgunet.terms``."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules among ``known`` that a file imports, with the packages that contain them.

    An import counts wherever it stands. Not `dgunet` itself, which holds its version alone.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in _names(node):
            parts = name.split(".")
            found |= {".".join(parts[:count]) for count in range(2, len(parts) + 1)}
    return found & set(known)


def reached(start: str, edges: Callable[[str], set[str]]) -> set[str]:
    """Return ``start`` and the modules that it imports, directly or not, without `REPORTING`.

    Args:
        start: name of a module.
        edges: gives the modules that a module imports.
    """
    seen, todo = {start}, [start]
    while todo:
        for module in edges(todo.pop()) - seen:
            if not f"{module}.".startswith(tuple(f"{name}." for name in REPORTING)):
                seen.add(module)
                todo.append(module)
    return seen


def code_only(text: str) -> str:
    """Return Python source without comments, docstrings, blank lines and spaces at line ends.

    The result is the same under every version of Python, unlike a dump of the syntax tree.
    """
    lines = text.splitlines()
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    removed = {token.start for token in _comments_and_docstrings(tokens)}
    in_strings: set[int] = set()
    for (top, left), (bottom, right) in ((token.start, token.end) for token in reversed(tokens)):
        if (top, left) in removed:
            lines[top - 1 : bottom] = [
                lines[top - 1][:left] + lines[bottom - 1][right:],
                *[""] * (bottom - top),
            ]
        else:
            in_strings |= set(range(top, bottom))
    return "".join(
        f"{line}\n" if number in in_strings else f"{line.rstrip()}\n"
        for number, line in enumerate(lines, 1)
        if line.strip() or number in in_strings
    )


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _comments_and_docstrings(
    tokens: list[tokenize.TokenInfo],
) -> Iterator[tokenize.TokenInfo]:
    """Comments and strings that stand alone, as docstrings and those below an attribute do."""
    code = [token for token in tokens if token.type not in (tokenize.COMMENT, tokenize.NL)]
    between = (None, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    yield from (token for token in tokens if token.type == tokenize.COMMENT)
    before = None
    for token, after in itertools.pairwise(code):
        if (token.type, after.type) == (tokenize.STRING, tokenize.NEWLINE) and before in between:
            yield token
        before = token.type


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return code_only(content.decode()).encode() if path.suffix == ".py" else content


def _data_files(folder: Path) -> Iterator[Path]:
    """The files of a package that are not Python, also in folders that are no packages."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data_files(path)
        elif path.is_file() and path.suffix not in (".py", ".pyc"):
            yield path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dgunet.steps.source_code FOLDER")
    for step, digests in source_digests().items():
        write_json(Path(sys.argv[1]) / f"{step}.json", digests)
