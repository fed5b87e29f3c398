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

REPORTING = ("dgunet.tracking", "dgunet.cli")
"""What a stage reports to MLflow and to people decides no output."""


def modules(root, *tops):
    """The files of the packages ``tops`` by the names of their modules."""
    found = {}
    for path in (path for top in tops for path in (root / top).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path, known):
    """The modules among ``known`` that a file imports, with the packages that contain them.

    Not `dgunet` itself, which holds its version alone.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            for count in range(2, len(parts) + 1):
                if (module := ".".join(parts[:count])) in known:
                    yield module


@cache
def graph(root, *tops):
    """The modules that each module of the packages ``tops`` imports; read once for a folder."""
    known = modules(root, *tops)
    return {name: set(imported(path, known)) - {name} for name, path in known.items()}


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

    reached = {module: reach(module) for module in edges}
    return {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in edges
        if module in reached[module]
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


def stage_entry(stage):
    file, _, name = stage.rpartition(":")
    return dvc_stages(file or "dvc.yaml")[name]


def dvc_stages(file):
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["stages"]


def missing(stage, root=ROOT):
    """The modules that the step behind a stage can reach and that the stage does not name."""
    entry = stage_entry(stage)
    named = [Path(dep) for dep in entry.get("do", entry)["deps"]]
    known, edges = modules(root, "dgunet"), graph(root, "dgunet")
    seen = {f"dgunet.steps.{STAGES[stage]}"}
    todo = list(seen)
    while todo:
        for module in edges[todo.pop()] - seen:
            if not f"{module}.".startswith(tuple(f"{name}." for name in REPORTING)):
                seen.add(module)
                todo.append(module)
    files = [known[module].relative_to(root) for module in seen if not _is_empty(known[module])]
    return sorted(
        path.as_posix() for path in files if not any(path.is_relative_to(dep) for dep in named)
    )


def _is_empty(path):
    """Whether a file holds nothing but its docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return all(isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) for n in body)


def test_every_package_has_its_layer():
    found = {module.split(".")[1] for module in modules(ROOT, "dgunet") if "." in module}
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
        for name, p in modules(ROOT, "dgunet").items()
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


def test_nothing_is_imported_by_a_computed_name():
    for path in modules(ROOT, "dgunet", "components", "pipelines").values():
        text = path.read_text(encoding="utf-8")
        assert "import_module" not in text and "__import__" not in text, path


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


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_that_its_step_can_reach(stage):
    assert missing(stage) == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_dependencies_of_a_stage_are_whole_packages(stage):
    """But for the step itself and the modules that belong to no package."""
    entry = stage_entry(stage)
    for dep in entry.get("do", entry)["deps"]:
        if dep.startswith("dgunet/"):
            assert (ROOT / dep).exists(), dep
            alone = Path(dep).parent.as_posix() in ("dgunet", "dgunet/steps")
            assert (ROOT / dep).is_dir() or alone, dep


def test_the_package_itself_holds_its_version_alone():
    body = ast.parse((ROOT / "dgunet/__init__.py").read_text(encoding="utf-8")).body
    assert [ast.unparse(node).partition(" = ")[0] for node in body[1:]] == ["__version__"]


def test_every_stage_of_dvc_is_looked_at():
    stages = set(dvc_stages("dvc.yaml"))
    for group in (TRAINED, RELEASED):
        stages |= {f"{group}{name}" for name in dvc_stages(group.removesuffix(":"))}
    assert stages == set(STAGES) | DOWNLOADS


@pytest.mark.parametrize(
    ("stage", "file", "line", "found"),
    [
        (
            f"{TRAINED}train-derain",
            "training/loop.py",
            "import dgunet.data.sample.degrade",
            "sample/degrade.py",
        ),
        (
            "prepare",
            "data/readers/images.py",
            "from dgunet.evaluation import ssim",
            "evaluation/ssim.py",
        ),
        ("evaluate-cs", "evaluation/runner.py", "import dgunet.paper.cells", "paper/cells.py"),
        (
            f"{TRAINED}evaluate-ablation",
            "terms.py",
            "from dgunet.recipes import trainings",
            "recipes/trainings.py",
        ),
        ("tables", "paper/cells.py", "from dgunet.training.loss import L", "training/loss.py"),
    ],
)
def test_a_planted_import_makes_a_stage_incomplete(tmp_path, stage, file, line, found):
    _plant(tmp_path, file, line)
    assert any(path.endswith(found) for path in missing(stage, tmp_path))


def _plant(folder, file, line):
    """A copy of the package in ``folder``, in which a function of ``file`` imports more."""
    shutil.copytree(ROOT / "dgunet", folder / "dgunet")
    with (folder / "dgunet" / file).open("a", encoding="utf-8") as handle:
        handle.write(f"\n\ndef _planted():\n    {line}\n")
