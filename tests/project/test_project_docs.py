"""The documents point at things that exist, and say only commands that exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_rendered_copy_is_of_this_notebook(notebook):
    """Outputs may be older; text and code may not. `python docs/render_notebooks.py` renews it."""
    page = (ROOT / "docs" / "notebooks" / f"{notebook.stem}.md").read_text()
    for cell in json.loads(notebook.read_text())["cells"]:
        assert "".join(cell["source"]) in page


def test_make_help_lists_every_target():
    # Under `make test` an inner make would announce itself; --silent keeps it to its targets.
    told = subprocess.run(
        ["make", "--silent", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    declared = re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = {line.split()[0] for line in told.stdout.splitlines()}
    assert listed == set(declared)


def test_make_targets_named_in_the_readme_exist():
    declared = re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"reproduce", "test"} <= named <= set(declared)


def test_the_dvc_stages_name_the_catalogue_s_folders():
    import yaml

    from dgunet.data.catalogue import CATALOGUE

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    trees = {name: entry["tree"] for name, entry in stages["prepare"]["foreach"].items()}
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


def test_the_ablations_of_dvc_are_the_nine():
    import yaml

    from dgunet.stages.ablations import ABLATIONS

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert stages["ablate"]["foreach"] == list(ABLATIONS)


def modules_behind(module):
    """The files of `dgunet` that importing ``module`` loads."""
    code = (
        f"import sys, {module}\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('dgunet.')))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return {Path(path).relative_to(ROOT) for path in told.stdout.split()}


PLUMBING = (
    "dgunet/address.py",
    "dgunet/deadline.py",
    "dgunet/errors.py",
    "dgunet/files.py",
    "dgunet/leftovers.py",
    "dgunet/lines.py",
    "dgunet/parent.py",
    "dgunet/paths.py",
    "dgunet/reading.py",
    "dgunet/data/__init__.py",
    "dgunet/data/catalogue.py",
    "dgunet/data/images.py",
    "dgunet/data/manifest.py",
    "dgunet/data/store.py",
    "dgunet/data/tiles.py",
)
"""Not dependencies of what comes after preparation: how files are written and read back, and
how processes end. The bytes of the store are a dependency themselves, and the catalogue's facts are
its YAML file."""


@pytest.mark.parametrize(
    ("stage", "modules"),
    [
        ("prepare", ["dgunet.data.prepare"]),
        ("train-derain", ["dgunet.data.batches", "dgunet.network", "dgunet.training"]),
        ("evaluate-derain", ["dgunet.evaluation.runner", "dgunet.network"]),
        ("ablate", ["dgunet.data.batches", "dgunet.evaluation.runner", "dgunet.training"]),
        ("tables", ["dgunet.paper.tables"]),
    ],
)
def test_a_stage_depends_on_every_module_that_decides_its_output(stage, modules):
    import yaml

    entry = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    named = [Path(dep) for dep in entry.get("do", entry)["deps"]]
    given = {Path(path) for path in PLUMBING}
    for module in modules:
        for path in modules_behind(module) - given:
            assert any(path.is_relative_to(dep) for dep in named), path
