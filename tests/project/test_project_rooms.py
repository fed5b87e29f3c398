"""The rooms keep their walls: the core knows nothing of kfp, dvc or MLflow, doors stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ("network", "data", "training", "evaluation", "paper")
FORBIDDEN = {"kfp", "dvc", "mlflow"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", CORE)
def test_the_core_imports_no_platform(room):
    files = sorted((ROOT / "dgunet" / room).rglob("*.py"))
    assert files
    for path in files:
        assert not FORBIDDEN & set(imports(path)), path


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("dgunet.cli", {"torch", "mlflow", "pandas", "cv2"}),
        ("dgunet.steps.prepare", {"torch", "mlflow"}),
        ("dgunet.steps.tables", {"torch", "mlflow"}),
    ],
)
def test_a_door_imports_only_what_it_needs(module, absent):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {absent!r}))"
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert told.stdout.strip() == ""
