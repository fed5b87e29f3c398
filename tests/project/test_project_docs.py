"""Links in the documentation point to existing files, and named commands exist."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_point_to_existing_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_rendered_copy_matches_the_notebook(notebook):
    """Outputs may be older, text and code may not; see `python docs/render_notebooks.py`."""
    page = (ROOT / "docs" / "notebooks" / f"{notebook.stem}.md").read_text()
    for cell in json.loads(notebook.read_text())["cells"]:
        assert "".join(cell["source"]) in page


def test_make_help_lists_every_target():
    # Under `make test` an inner make would print its folder; --silent prevents that.
    answer = subprocess.run(
        ["make", "--silent", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    declared = re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = {line.split()[0] for line in answer.stdout.splitlines()}
    assert listed == set(declared)


def test_make_targets_named_in_the_readme_exist():
    declared = re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"reproduce", "test"} <= named <= set(declared)


def dvc_stages(file):
    import yaml

    return yaml.safe_load((ROOT / file).read_text())["stages"]


def test_the_dvc_stages_use_the_folders_of_the_catalogue():
    from dgunet.data.catalogue.entries import CATALOGUE

    trees = {
        name: entry["tree"]
        for file in ("dvc.yaml", "pipelines/trained/dvc.yaml")
        for name, entry in dvc_stages(file)["prepare"]["foreach"].items()
    }
    assert trees == {
        name: f"{info.role}/{info.trees[0].folder}"
        for name, info in CATALOGUE.items()
        if name in trees
    }
    twelve = {name for name, info in CATALOGUE.items() if info.role == "test" and info.twelfth}
    assert twelve == {"RealBlur-J"}
    assert {name for name in trees if CATALOGUE[name].role == "test"} == {
        *("Test100", "Rain100H", "Rain100L", "Test2800", "Test1200"),
        *("GoPro", "HIDE", "RealBlur-J", "SIDD", "DND", "Set11", "BSD68"),
    }


def test_dvc_runs_the_nine_ablations():
    from dgunet.terms import ABLATIONS, RELEASED_ABLATIONS

    trained = dvc_stages("pipelines/trained/dvc.yaml")
    for stage in ("train-ablation", "evaluate-ablation"):
        assert trained[stage]["foreach"] == list(ABLATIONS)
    released = dvc_stages("pipelines/released/dvc.yaml")["evaluate-ablation"]["foreach"]
    assert released == list(RELEASED_ABLATIONS)
