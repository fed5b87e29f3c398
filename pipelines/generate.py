"""What is generated from components and pipelines, and committed: run it after changing one.

python -m pipelines.generate          write component.yaml, README.md, compiled pipelines, pictures
python -m pipelines.generate --check  only say what is not as it would be written
"""

import argparse
import importlib
import sys
from pathlib import Path

import docstring_parser
import yaml

from dgunet.kubeflow.cluster.settings import Trainer, load_cluster
from dgunet.kubeflow.cluster.task_placement import Place
from dgunet.kubeflow.pipeline.compiling import compiled, documents
from dgunet.kubeflow.pipeline.drawing import svg
from dgunet.kubeflow.pipeline.graph import graph
from dgunet.system.files import write_text
from pipelines import NAMES

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by `python -m pipelines.generate`; edit component.py instead. -->"


def generated() -> dict[Path, str]:
    """Every generated file, relative to the project, with its text."""
    made = {}
    for folder in sorted(path.parent for path in ROOT.glob("components/*/component.py")):
        name, place = folder.name, folder.relative_to(ROOT)
        module = importlib.import_module(f"components.{name}.component")
        step = getattr(module, name)
        text = compiled(step)
        made[place / "component.yaml"] = text
        made[place / "README.md"] = readme(step, module.__doc__.strip(), text)
    cluster = load_cluster(ROOT / "pipelines" / "cluster.yaml")
    for name in NAMES:
        build = importlib.import_module(f"pipelines.{name}").build
        text = compiled(build(Place()))
        made[Path("pipelines", "compiled", f"{name}.yaml")] = text
        made[Path("docs", "images", f"pipeline-{name}.svg")] = svg(graph(documents(text)[0]))
    build = importlib.import_module("pipelines.train_evaluate").build
    nodes = cluster.model_copy(update={"trainer": Trainer(nodes=2, shared="/state/shared")})
    for kind, where in (("cluster", cluster), ("nodes", nodes)):
        made[Path("pipelines", "compiled", f"train_evaluate.{kind}.yaml")] = compiled(
            build(Place(where))
        )
    return made


def readme(step, title: str, text: str) -> str:
    """The page of one component: what its docstring says, with the types of its IR."""
    name = step.python_func.__name__
    spec, known = yaml.safe_load(text), name.replace("_", "-")
    component = spec["components"][f"comp-{known}"]
    doc = docstring_parser.parse(step.python_func.__doc__)
    said = {each.arg_name: each.description for each in doc.params}
    said["Output"] = doc.returns.description if doc.returns else ""
    lines = [f"# {name}", "", NOTE, "", title, "", doc.short_description, ""]
    for heading, key in (("Inputs", "inputDefinitions"), ("Outputs", "outputDefinitions")):
        rows = [
            f"| `{entry}` | {kind} | {' '.join(said[entry].split())} |"
            for entry, kind in _kinds(component.get(key) or {})
        ]
        if rows:
            lines += [f"## {heading}", "", "| name | type | what |", "|---|---|---|", *rows, ""]
    image = spec["deploymentSpec"]["executors"][f"exec-{known}"]["container"]["image"]
    lines += [f"Image: `{image}`, or the cluster's by digest. It installs nothing as it runs.", ""]
    return "\n".join(lines)


def _kinds(definitions: dict):
    """Name and type of every artifact and parameter."""
    for name, entry in (definitions.get("artifacts") or {}).items():
        kind = entry["artifactType"]["schemaTitle"].removeprefix("system.")
        kind = f"list of {kind}" if entry.get("isArtifactList") else kind
        yield name, kind + (" (optional)" if entry.get("isOptional") else "")
    for name, entry in (definitions.get("parameters") or {}).items():
        yield name, entry["parameterType"].lower().replace("number_", "")


def main() -> int:
    """Write the files, or check them; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    stale = []
    for path, text in generated().items():
        target = ROOT / path
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            stale.append(path)
            if not check:
                write_text(target, text)
    for path in stale:
        print(f"{'not as generated' if check else 'wrote'}: {path}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
