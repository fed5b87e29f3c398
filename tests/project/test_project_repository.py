"""Files for people and services around the code: citation, changelog, templates, hooks."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import dgunet

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def load(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_citation_names_the_software_and_the_paper():
    citation = load("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "version", "license"} <= set(citation)
    assert citation["authors"] == [{"name": "The dgunet developers"}]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"] == dgunet.__version__
    assert citation["license"] == project["license"]
    paper = citation["preferred-citation"]
    assert paper["title"] == "Deep Generalized Unfolding Networks for Image Restoration"
    assert [author["family-names"] for author in paper["authors"]] == ["Mou", "Wang", "Zhang"]
    assert all(author["given-names"] for author in paper["authors"])
    assert (paper["type"], paper["year"]) == ("conference-paper", 2022)


def test_dvc_finds_the_stages_of_this_project_alone():
    listed = ["git", "ls-files", "*.dvc", "dvc.yaml", "**/dvc.yaml"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    stages = {f"pipelines/{weights}/dvc.yaml" for weights in ("released", "trained")}
    assert set(names.split()) == {"data.dvc", "dvc.yaml", *stages}


def test_the_changelog_has_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[(.+?)\] - (\S+)$", text, re.MULTILINE)
    assert first and first[1] == dgunet.__version__


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_template_is_a_form(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        return
    assert {"name", "description", "body"} <= set(form)
    for field in form["body"]:
        assert field["type"] in ("input", "textarea", "dropdown", "checkboxes", "markdown")
        assert field["attributes"]["label"]
    assert any(field.get("validations", {}).get("required") for field in form["body"])
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))


def test_the_templates_ask_for_what_is_needed():
    assert {"bug", "number", "dataset"} <= {path.stem for path in TEMPLATES}
    fields = {field["id"] for field in load(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    assert {"version", "command", "message"} <= fields
    assert (ROOT / ".github" / "pull_request_template.md").is_file()


def test_the_hooks_are_local():
    (repository,) = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert [hook["id"] for hook in repository["hooks"]] == [
        *("ruff", "ruff-format", "mypy", "notebooks-without-outputs"),
    ]
    for hook in repository["hooks"]:
        command, *arguments = hook["entry"].split()
        assert command.startswith(".venv/bin/")
        assert all((ROOT / name).is_file() for name in arguments if name.endswith(".py"))


def check_notebooks(*paths):
    return subprocess.run(
        [sys.executable, ROOT / "docs" / "check_notebooks.py", *paths],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_notebooks_have_no_outputs():
    assert NOTEBOOKS
    checked = check_notebooks(*NOTEBOOKS)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize(
    "change", [{"outputs": [{"output_type": "stream", "text": "1"}]}, {"execution_count": 3}]
)
def test_a_notebook_with_outputs_is_reported(tmp_path, change):
    content = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))
    cell = next(cell for cell in content["cells"] if cell["cell_type"] == "code")
    cell |= change
    path = tmp_path / "run.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    checked = check_notebooks(path)
    assert checked.returncode == 1
    assert str(path) in checked.stdout
