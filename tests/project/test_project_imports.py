"""Imports point one way, and say what a DVC stage depends on.

Every import counts, wherever it stands: at the head of a file, in a function, for the type checker.
"""

import ast
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from dgunet.steps.source_code import STEPS, code_only, imports, modules, reached

ROOT = Path(__file__).parents[2]

LAYERS = (
    "system",
    "terms",
    "imaging",
    "network",
    "backends",
    "data",
    "config",
    "training",
    "evaluation",
    "user_images",
    "recipes",
    "paper",
    "costs",
    "tracking",
    "project",
    "steps",
    "tools",
    "demo",
    "campaign",
    "kubeflow",
    "cli",
    "__main__",
)
"""Packages and modules of `dgunet`, from the bottom to the top."""

CORE = LAYERS[: LAYERS.index("tracking")]
PLATFORMS = {"kfp", "dvc", "mlflow", "kubernetes"}

TASKS = ("derain", "deblur", "denoise", "cs")
TRAINED, RELEASED = "pipelines/trained/dvc.yaml:", "pipelines/released/dvc.yaml:"
STAGES = {
    "prepare": "prepare",
    **{f"evaluate-{task}": "evaluate" for task in TASKS},
    "tables": "tables",
    f"{TRAINED}prepare": "prepare",
    **{f"{TRAINED}train-{task}": "train" for task in TASKS},
    f"{TRAINED}train-ablation": "train",
    **{f"{group}evaluate-ablation": "evaluate" for group in (TRAINED, RELEASED)},
}
"""The stages of the ``dvc.yaml`` files, and the step of `dgunet.steps` that each runs."""

DOWNLOADS = {f"{RELEASED}fetch-{task}" for task in TASKS}
"""Stages whose output is decided by the addresses and the reader of the authors' files alone."""


@cache
def graph(root, *tops):
    """The modules that each module of the packages ``tops`` imports; read once for a folder."""
    known = {name: path for top in tops for name, path in modules(root / top).items()}
    return {name: imports(path, known) - {name} for name, path in known.items()}


def layer(module):
    return LAYERS.index(module.split(".")[1])


def upward(root):
    """The imports that point from a lower layer to a higher one."""
    return sorted(
        f"{module} -> {other}"
        for module, others in graph(root, "dgunet").items()
        for other in others
        if "." in module and "." in other and layer(other) > layer(module)
    )


def cycles(edges):
    """The groups of modules that import each other, directly or not."""

    def reach(start):
        seen, todo = set(), [start]
        while todo:
            for other in edges[todo.pop()] - seen:
                seen.add(other)
                todo.append(other)
        return seen

    after = {module: reach(module) for module in edges}
    return {
        frozenset(other for other in after[module] if module in after[other])
        for module in edges
        if module in after[module]
    }


def without_packages(edges):
    """``edges`` less those to a package's own ``__init__``, which importing a module implies."""
    packages = {module.rpartition(".")[0] for module in edges}
    return {
        module: {other for other in others if other not in packages or not _contains(other, module)}
        for module, others in edges.items()
    }


def _contains(package, module):
    return module.startswith(f"{package}.")


def dvc_stages(file):
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["stages"]


def code_dependencies():
    """The dependencies of the stage that lists the source code of every step."""
    return dvc_stages("dvc.yaml")["code"]["deps"]


def missing(step, root=ROOT):
    """The modules that a step can reach and that the stage `code` does not name."""
    known, edges = modules(root / "dgunet"), graph(root, "dgunet")
    paths = [known[module] for module in reached(f"dgunet.steps.{step}", edges.__getitem__)]
    files = [path.relative_to(root) for path in paths if code_only(path.read_text("utf-8"))]
    named = code_dependencies()
    return sorted(
        path.as_posix() for path in files if not any(path.is_relative_to(dep) for dep in named)
    )


@pytest.mark.parametrize("step", STEPS)
def test_no_step_reaches_the_claims_so_that_an_edit_makes_no_result_again(step):
    modules_of_step = reached(f"dgunet.steps.{step}", graph(ROOT, "dgunet").__getitem__)
    assert not [name for name in modules_of_step if "claim" in name]
    packages = {modules(ROOT / "dgunet")[name].parent for name in modules_of_step}
    assert ROOT / "dgunet" / "paper" / "claims" not in packages


def test_every_package_has_its_layer():
    found = {module.split(".")[1] for module in modules(ROOT / "dgunet") if "." in module}
    assert found == set(LAYERS)


def test_no_import_points_upward():
    assert upward(ROOT) == []


def test_no_modules_import_each_other():
    edges = graph(ROOT, "dgunet", "components", "pipelines")
    assert cycles(without_packages(edges)) == set()


@pytest.mark.parametrize(
    ("file", "line", "found"),
    [
        ("data/readers/images.py", "import dgunet.evaluation.ssim", "dgunet.evaluation.ssim"),
        ("network/config.py", "from dgunet.kubeflow import run_records", "dgunet.kubeflow"),
    ],
)
def test_a_planted_import_that_points_upward_is_found(tmp_path, file, line, found):
    _plant(tmp_path, file, line)
    assert any(found in arrow for arrow in upward(tmp_path))


def test_a_planted_cycle_is_found(tmp_path):
    _plant(tmp_path, "network/gradient.py", "from dgunet.network import dgunet")
    found = cycles(without_packages(graph(tmp_path, "dgunet")))
    assert any("dgunet.network.gradient" in group for group in found)


@pytest.mark.parametrize("package", CORE)
def test_the_core_imports_no_platform(package):
    files = [
        p
        for name, p in modules(ROOT / "dgunet").items()
        if f"{name}.".startswith(f"dgunet.{package}.")
    ]
    assert files
    for path in files:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        names = {
            name.split(".")[0]
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        }
        assert not PLATFORMS & names, path


def test_nothing_is_imported_by_a_computed_or_relative_name():
    tops = (ROOT / top for top in ("dgunet", "components", "pipelines"))
    for path in (path for top in tops for path in modules(top).values()):
        text = path.read_text(encoding="utf-8")
        assert "import_module" not in text and "__import__" not in text, path
        assert "\nfrom ." not in text, path


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("dgunet.cli", {"torch", "mlflow", "pandas", "cv2", "gradio"}),
        ("dgunet.steps.prepare", {"torch", "mlflow"}),
        ("dgunet.steps.tables", {"torch", "mlflow"}),
        ("dgunet.config", {"torch", "mlflow", "pandas"}),
    ],
)
def test_an_entry_point_imports_only_what_it_needs(module, absent):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {absent!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("step", STEPS)
def test_the_listed_code_is_every_module_that_a_step_can_reach(step):
    assert missing(step) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_of_the_step_that_it_runs(stage):
    file, _, name = stage.rpartition(":")
    entry = dvc_stages(file or "dvc.yaml")[name]
    entry = entry.get("do", entry)
    command = entry["cmd"].removeprefix("dgunet ").removeprefix("data ").split()[0]
    code = [dep for dep in entry["deps"] if dep.startswith(("dgunet/", "build/code/"))]
    assert (command, code) == (STAGES[stage], [f"build/code/{command}.json"])


def test_the_dependencies_of_the_code_are_whole_packages():
    """But for the modules that belong to no package."""
    for dep in code_dependencies():
        assert (ROOT / dep).exists(), dep
        assert (ROOT / dep).is_dir() or Path(dep).parent.as_posix() == "dgunet", dep


def test_the_package_itself_holds_its_version_alone():
    body = ast.parse((ROOT / "dgunet/__init__.py").read_text(encoding="utf-8")).body
    assert [ast.unparse(node).partition(" = ")[0] for node in body[1:]] == ["__version__"]


def test_every_stage_of_dvc_is_looked_at():
    stages = set(dvc_stages("dvc.yaml"))
    for group in (TRAINED, RELEASED):
        stages |= {f"{group}{name}" for name in dvc_stages(group.removesuffix(":"))}
    assert stages == {"code", *STAGES, *DOWNLOADS}


@pytest.mark.parametrize(
    ("step", "file", "line", "found"),
    [
        ("train", "training/loop.py", "import dgunet.costs.text", "costs/text.py"),
        ("prepare", "data/readers/images.py", "from dgunet.campaign import plan", "plan.py"),
        ("evaluate", "terms.py", "from dgunet.recipes import trainings", "recipes/trainings.py"),
        ("tables", "paper/cells.py", "from dgunet.tools.cleaning import L", "tools/cleaning.py"),
    ],
)
def test_a_planted_import_makes_the_list_incomplete(tmp_path, step, file, line, found):
    _plant(tmp_path, file, line)
    assert any(path.endswith(found) for path in missing(step, tmp_path))


def _plant(folder, file, line):
    """A copy of the package in ``folder``, in which a function of ``file`` imports more."""
    shutil.copytree(ROOT / "dgunet", folder / "dgunet")
    with (folder / "dgunet" / file).open("a", encoding="utf-8") as handle:
        handle.write(f"\n\ndef _planted():\n    {line}\n")
