"""The list of the source code on which the stages of DVC depend."""

import ast
import json
import shutil
import subprocess
import sys

import pytest

from dgunet.steps.source_code import STEPS, code_only, modules, source_digests

SOURCE = '''"""About the module."""

import math  # for pi


class Circle:  # round
    """A circle."""

    radius: float
    """In pixels."""

    def area(self):
        # Two statements.
        "Area."; scale = 2
        text = """ # no comment

        kept \t
        """
        return math.pi * self.radius**scale, text, "é" # end
'''
CODE = '''import math
class Circle:
    radius: float
    def area(self):
        "Area."; scale = 2
        text = """ # no comment

        kept \t
        """
        return math.pi * self.radius**scale, text, "é"
'''


def test_comments_docstrings_and_blank_lines_do_not_count():
    assert code_only(SOURCE) == CODE
    assert code_only(CODE) == CODE
    assert code_only('"""Only a docstring."""\n\n# and a comment\n') == ""


def test_the_code_of_every_module_has_the_syntax_tree_of_its_file(project):
    """Where every function and class has a body besides its docstring."""
    compared = 0
    for path in modules(project / "dgunet").values():
        tree = ast.parse(path.read_text("utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
        for node in nodes:
            node.body = [child for child in node.body if not _is_docstring(child)]
        if all(node.body for node in nodes if node is not tree):
            compared += 1
            kept = ast.parse(code_only(path.read_text("utf-8")))
            assert ast.dump(kept) == ast.dump(tree), path
    assert compared > 300


def _is_docstring(node):
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return alone and isinstance(node.value.value, str)


@pytest.fixture(scope="module")
def digests():
    return source_digests()


@pytest.fixture
def package(project, tmp_path):
    """A copy of the package that a test may edit."""
    shutil.copytree(project / "dgunet", tmp_path / "dgunet")
    return tmp_path / "dgunet"


@pytest.mark.parametrize(
    ("file", "added", "changed"),
    [
        ("training/loss.py", "# a comment\n", set()),
        ("training/loss.py", '"""A docstring below an attribute."""\n', set()),
        ("training/loss.py", "NEW = 1\n", {"train"}),
        ("evaluation/ssim.py", "NEW = 1\n", {"evaluate", "tables"}),
        ("data/catalogue/catalogue.yaml", "# decides\n", set(STEPS)),
        ("paper/published/table1.csv", "\n", {"tables"}),
        ("cli/errors.py", "NEW = 1\n", set()),
        ("tracking/run.py", "NEW = 1\n", set()),
        ("steps/drift.py", "NEW = 1\n", set()),
    ],
)
def test_an_edit_changes_the_lists_of_the_steps_that_it_can_change(
    package, digests, file, added, changed
):
    path = package / file
    path.write_text((path.read_text("utf-8") if path.exists() else "") + added, encoding="utf-8")
    edited = source_digests(package)
    assert {step for step in STEPS if edited[step] != digests[step]} == changed
    for step in changed:
        assert {name for name in edited[step] if edited[step][name] != digests[step][name]} == {
            f"dgunet/{file}"
        }


WITHOUT_REPORTING = """
import importlib, json, sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("dgunet.tracking", "dgunet.cli")):
            return ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        return MagicMock(__path__=[])
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Finder())
importlib.import_module(sys.argv[1])
stubs = ("dgunet.tracking", "dgunet.cli")
found = {n: m for n, m in sys.modules.items() if n.startswith("dgunet.")}
print(json.dumps([m.__file__ for n, m in found.items() if not n.startswith(stubs)]))
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_list_holds_all_that_its_step_imports_when_it_starts(project, digests, step):
    """What Python loads, in place of what the source says."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_REPORTING, f"dgunet.steps.{step}"],
        check=True,
        capture_output=True,
        text=True,
        cwd=project,
    )
    loaded = {path.removeprefix(f"{project}/") for path in json.loads(done.stdout)}
    loaded = {path for path in loaded if code_only((project / path).read_text("utf-8"))}
    assert len(loaded) > 20
    assert loaded - set(digests[step]) == set()
