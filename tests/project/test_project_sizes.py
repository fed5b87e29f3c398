"""Files, functions and signatures are small enough to be read whole; exceptions have a reason."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOPS = ("dgunet", "components", "pipelines")

FILE_LINES = 350
BODY_LINES = 40
"""Lines of a function without its signature and docstring."""
ARGUMENTS = 8

LONG_FILES = {
    "dgunet/network/dgunet.py": "the network reads from top to bottom, equations included",
    "dgunet/tools/bundles/standalone.py": "goes into every bundle as one file",
    "dgunet/system/environment.py": "the table of all environment variables",
}
LONG_FUNCTIONS = {
    "pipelines/ablations.py::build_ablations": "holds a pipeline whole",
    "pipelines/evaluate_checkpoint.py::build_evaluate_checkpoint": "holds a pipeline whole",
    "pipelines/reproduce.py::build_reproduce": "holds a pipeline whole",
    "pipelines/train_evaluate.py::build_train_evaluate": "holds a pipeline whole",
}
MANY_ARGUMENTS = {
    "dgunet/cli/": "an argument is an option of a command",
    "components/": "an argument is an input of a component",
    "pipelines/": "an argument is a parameter of a pipeline",
    "dgunet/data/store/prepare.py": "see the docstring of prepare_dataset",
    "dgunet/training/loop.py": "see the docstring of train",
}


def files(root):
    return [path for top in TOPS for path in sorted((root / top).rglob("*.py"))]


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function):
    body = function.body[1:] if ast.get_docstring(function, clean=False) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def arguments(function):
    given = function.args
    count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
    return count - bool(given.args and given.args[0].arg in ("self", "cls"))


@pytest.mark.parametrize("path", files(ROOT), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_sizes(path):
    name = path.relative_to(ROOT).as_posix()
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= FILE_LINES or name in LONG_FILES, f"{lines} lines"
    for function in functions(path):
        where = f"{name}::{function.name}"
        assert body_lines(function) <= BODY_LINES or where in LONG_FUNCTIONS, where
        if arguments(function) > ARGUMENTS:
            assert any(name.startswith(known) for known in MANY_ARGUMENTS), where


def test_every_exception_is_still_needed():
    long = {p.relative_to(ROOT).as_posix() for p in files(ROOT) if p.read_text().count("\n") > 350}
    assert long == set(LONG_FILES)
    found = {
        f"{path.relative_to(ROOT).as_posix()}::{function.name}"
        for path in files(ROOT)
        for function in functions(path)
        if body_lines(function) > BODY_LINES
    }
    assert found == set(LONG_FUNCTIONS)
