"""One module reads the environment, and its documentation lists every variable."""

import ast
import os
import re
from pathlib import Path

import pytest

from dgunet.system import environment

ROOT = Path(__file__).parents[2]
READER = ROOT / "dgunet" / "system" / "environment.py"

NAMES = {"environ", "environb", "getenv", "getenvb"}


def reads(source):
    """Return the lines of ``source`` that access the environment of the process."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        attribute = isinstance(node, ast.Attribute) and node.attr in NAMES
        imported = (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and any(alias.name in NAMES for alias in node.names)
        )
        if attribute or imported:
            lines.append(node.lineno)
    return lines


def test_the_page_is_generated():
    page = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    assert page == environment.environment_markdown()


def test_each_variable_is_declared_once_and_documented():
    names = [variable.name for variable in environment.VARIABLES]
    assert len(names) == len(set(names)) > 40
    for variable in environment.VARIABLES:
        assert variable.meaning.endswith(".") and variable.set_by
        variable.convert(variable.default)


def test_no_other_module_reads_the_environment():
    found = {}
    for top in ("dgunet", "components", "pipelines"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if path != READER and (lines := reads(path.read_text(encoding="utf-8"))):
                found[name] = lines
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "import os; home = os.environ['DGUNET_HOME']",
        "import os; home = os.environ.get('DGUNET_HOME')",
        "import os; home = os.getenv('DGUNET_HOME')",
        "import os as system; home = system.environ",
        "from os import environ",
        "from os import getenv as read",
    ],
)
def test_a_read_of_the_environment_is_detected(line):
    assert reads(line)
    assert not reads("from dgunet.system import environment\nhome = environment.HOME.get()")


def test_every_variable_named_in_the_code_is_declared():
    """Strings such as DGUNET_X in the package are names of declared variables."""
    declared = {variable.name for variable in environment.VARIABLES}
    named = set()
    for path in sorted((ROOT / "dgunet").rglob("*.py")):
        named |= set(re.findall(r"\bDGUNET_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    assert named <= declared


def test_empty_counts_as_unset_and_secret_values_are_listed(monkeypatch):
    monkeypatch.setenv("RANK", "")
    monkeypatch.setenv("DVC_STAGE", "")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    assert environment.RANK.get() == "0"
    assert environment.DVC_STAGE.is_set() and not environment.DVC_STAGE.is_given()
    assert "hunter2" in environment.secret_values()


def test_take_removes_the_variable(monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "r1")
    assert environment.MLFLOW_RUN_ID.take() == "r1"
    assert "MLFLOW_RUN_ID" not in os.environ
    assert environment.MLFLOW_RUN_ID.take() == ""


def test_environment_settings_apply_within_their_block(monkeypatch):
    monkeypatch.setenv("A_SETTING", "theirs")
    monkeypatch.delenv("B_SETTING", raising=False)
    with environment.with_defaults({"A_SETTING": "ours", "B_SETTING": "ours"}) as added:
        assert added == {"B_SETTING"}
        assert (os.environ["A_SETTING"], os.environ["B_SETTING"]) == ("theirs", "ours")
        with environment.with_value("A_SETTING", "for now"):
            assert os.environ["A_SETTING"] == "for now"
            assert environment.for_child({"C": "1"})["A_SETTING"] == "for now"
    assert os.environ["A_SETTING"] == "theirs" and "B_SETTING" not in os.environ
