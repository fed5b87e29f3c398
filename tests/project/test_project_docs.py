"""The documents point at things that exist, and say only commands that exist."""

import ast
import json
import re
import shutil
import subprocess
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

    from dgunet.data.catalogue.entries import CATALOGUE

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

    from dgunet.terms import ABLATIONS

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert stages["ablate"]["foreach"] == list(ABLATIONS)


def file_of(module, root):
    """The file of a module of `dgunet`, None for what is no module."""
    path = root.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def imported(path):
    """What a file imports, wherever in it: at its head, in a function, for the type checker."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def undeclared(stage, root=ROOT):
    """The files of `dgunet` behind a stage of ``dvc.yaml`` that are neither named nor plumbing."""
    import yaml

    entry = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    named = [Path(dep) for dep in entry.get("do", entry)["deps"]]
    verb = stage.partition("-")[0]
    given = [Path(path) for path in (*PLUMBING, *TOLD, *ONLY.get(verb, ()))]
    todo, found = [f"dgunet.steps.{verb}"], {}
    while todo:
        module = todo.pop()
        names = module.split(".")
        for count in range(2, len(names) + 1):
            file = file_of(".".join(names[:count]), root)
            if file is None or file in found or names[0] != "dgunet":
                continue
            path = file.relative_to(root)
            declared = any(path.is_relative_to(dep) for dep in named)
            spared = any(path.is_relative_to(other) for other in given)
            found[file] = declared or spared
            if (declared or not spared) and path.as_posix() not in SEAMS.get(verb, ()):
                todo += imported(file)
    return sorted(str(file.relative_to(root)) for file, fine in found.items() if not fine)


PLUMBING = (
    "dgunet/__init__.py",
    "dgunet/system/address.py",
    "dgunet/config/cross_checks.py",
    "dgunet/system/deadline.py",
    "dgunet/system/environment.py",
    "dgunet/system/errors.py",
    "dgunet/system/files.py",
    "dgunet/system/leftovers.py",
    "dgunet/system/line_files.py",
    "dgunet/system/parent_process.py",
    "dgunet/system/safe_paths.py",
    "dgunet/config/ranges.py",
    "dgunet/system/reading.py",
    "dgunet/data/__init__.py",
    "dgunet/data/catalogue/entries.py",
    "dgunet/data/readers/hdf5.py",
    "dgunet/data/readers/images.py",
    "dgunet/data/readers/limits.py",
    "dgunet/data/store/manifest.py",
    "dgunet/data/store/pair_store.py",
    "dgunet/data/store/tiles.py",
    "dgunet/data/store/verified_notes.py",
    "dgunet/data/store/verification.py",
    "dgunet/evaluation/__init__.py",
    "dgunet/steps/__init__.py",
)
"""Not dependencies of what comes after preparation: how files are written, read back and checked,
what is refused, and how processes end.
The bytes of the store are a dependency themselves, and the catalogue's facts are its YAML file."""

TOLD = (
    "dgunet/steps/result_evidence.py",
    "dgunet/tracking/reports/strips.py",
    "dgunet/tracking/reports/network_numbers.py",
    "dgunet/kubeflow/steps/code_pins.py",
    "dgunet/tracking/reports/progress.py",
    "dgunet/recipes/naming.py",
    "dgunet/tracking/reports/training_report.py",
    "dgunet/tracking",
)
"""What is told to people and MLflow, or refuses; no byte of an output depends on it."""

ONLY = {
    "prepare": ("dgunet/config/params.py", "dgunet/project.py"),
    "tables": ("dgunet/config/params.py", "dgunet/project.py"),
    "evaluate": ("dgunet/training/__init__.py",),
}
"""Here only the profile is taken from the parameters, and the layout names MLflow's experiment;
evaluation imports the training room for its loop's device and threads."""

SEAMS = {"evaluate": ("dgunet/training/loop.py",)}
"""Named, but what they import is not theirs: the device and the threads are looked up there."""

STAGES = [
    "prepare",
    *(f"train-{task}" for task in ("derain", "deblur", "denoise", "cs")),
    *(f"evaluate-{task}" for task in ("derain", "deblur", "denoise", "cs")),
    "ablate",
    "tables",
]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_that_decides_its_output(stage):
    assert undeclared(stage) == []


def test_every_dependency_in_dvc_is_a_file_of_the_project():
    import yaml

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert set(stages) == set(STAGES)
    for entry in stages.values():
        for dep in entry.get("do", entry)["deps"]:
            assert not dep.startswith("dgunet/") or (ROOT / dep).exists(), dep


@pytest.mark.parametrize(
    ("stage", "file", "line", "missing"),
    [
        (
            "train-derain",
            "steps/training_job.py",
            "import dgunet.data.sample.degrade",
            "dgunet/data/sample/degrade.py",
        ),
        (
            "prepare",
            "data/readers/images.py",
            "from dgunet.evaluation import ssim",
            "evaluation/ssim.py",
        ),
        (
            "evaluate-cs",
            "steps/evaluate.py",
            "from dgunet.steps import training_job",
            "steps/training_job.py",
        ),
        ("tables", "paper/cells.py", "from dgunet.training.loss import L", "training/loss.py"),
    ],
)
def test_an_import_within_a_function_counts(tmp_path, stage, file, line, missing):
    shutil.copytree(ROOT / "dgunet", tmp_path / "dgunet")
    with (tmp_path / "dgunet" / file).open("a") as handle:
        handle.write(f"\n\ndef _planted():\n    {line}\n")
    assert any(path.endswith(missing) for path in undeclared(stage, tmp_path))
