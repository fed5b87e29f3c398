"""The worked examples of CONTRIBUTING.md work: each is followed in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("dgunet", "components", "pipelines", "docs")
BLOCK = re.compile(
    r"^([^\n`]*(?:`[^\n]*`)?[^\n]*:)\n\n```[a-z]+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
CREATE = re.compile(r"Create `(.+)`:")
APPEND = re.compile(r"Append to `(.+)`:")
INSERT = re.compile(r"In `(.+)`, insert after the line `(.+)`:")
REPLACE = re.compile(r"In `(.+)`, replace the line `(.+)` with:")


def examples():
    """Return the steps of each worked example by title: (instruction, content of the block)."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sections = text.partition("# Worked examples\n")[2].split("\n## ")[1:]
    return {section.partition("\n")[0]: BLOCK.findall(section) for section in sections}


def edited_file(instruction, content, read):
    """Return the file that an instruction edits and its new text; None for other instructions."""
    if found := CREATE.fullmatch(instruction):
        return found[1], content
    if found := APPEND.fullmatch(instruction):
        return found[1], read(found[1]) + content
    if found := INSERT.fullmatch(instruction):
        old, new = f"\n{found[2]}\n", f"\n{found[2]}\n{content}"
    elif found := REPLACE.fullmatch(instruction):
        old, new = f"\n{found[2]}\n", f"\n{content}"
    else:
        return None
    text = read(found[1])
    assert text.count(old) == 1, f"{found[1]} has no single line {found[2]!r}"
    return found[1], text.replace(old, new)


def run(script, tree):
    """Run a shell script in the copy of the tree; return its output."""
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tree),
        "DGUNET_TRACKING": "off",
    }
    env.pop("DGUNET_HOME", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def tree(tmp_path):
    """A copy of the files that the examples change and run."""
    ignore = shutil.ignore_patterns("__pycache__", "*.png", "notebooks")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_there_is_an_example_of_each_kind():
    assert list(examples()) == [
        "Adding a dataset",
        "Adding a metric protocol",
        "Adding a published table",
        "Adding a Kubeflow component",
    ]


@pytest.mark.parametrize("title", examples())
def test_an_example_works_as_written(title, tree):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    steps = examples()[title]
    assert len(steps) == section.count("\n```") // 2, "a block without an instruction"
    printed, compared = "", 0
    for instruction, content in steps:
        edit = edited_file(instruction, content, lambda path: (tree / path).read_text("utf-8"))
        if edit is not None:
            path = tree / edit[0]
            path.parent.mkdir(exist_ok=True)
            path.write_text(edit[1], encoding="utf-8")
        elif instruction == "Run:":
            printed = run(content, tree)
        elif instruction == "It prints:":
            for line in content.splitlines():
                assert line in printed, printed
                compared += 1
        else:
            pytest.fail(f"unknown instruction: {instruction}")
    assert compared
