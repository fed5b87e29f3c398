"""Generates the committed files of components and pipelines; run it after changing any of them.

python -m pipelines.generate          write component.yaml, README.md, pipelines, drawings, quota
python -m pipelines.generate --check  only list files that are out of date
"""

import argparse
import sys
from pathlib import Path

import docstring_parser
import yaml

from components.evaluate.component import evaluate
from components.evaluate_ablation.component import evaluate_ablation
from components.evaluate_part.component import evaluate_part
from components.fetch_weights.component import fetch_weights
from components.finish.component import finish
from components.gather.component import gather
from components.keep_model.component import keep_model
from components.load.component import load
from components.prepare.component import prepare
from components.report.component import report
from components.submission.component import submission
from components.survey.component import survey
from components.tables.component import tables
from components.train.component import train
from components.train_ablation.component import train_ablation
from components.train_nodes.component import train_nodes
from dgunet.kubeflow.cluster.settings import Cluster, Trainer, load_cluster
from dgunet.kubeflow.pipeline.compiling import compile_pipeline, compile_to_yaml, documents
from dgunet.kubeflow.pipeline.drawing import svg
from dgunet.kubeflow.pipeline.graph import chosen_graph, pipeline_graph
from dgunet.kubeflow.submission.peak import GPU, peak
from dgunet.system.files import write_text
from pipelines import PIPELINES

ROOT = Path(__file__).parents[1]
COMPONENTS = (
    *(evaluate, evaluate_ablation, evaluate_part, fetch_weights, finish, gather, load, prepare),
    *(keep_model, report, submission, survey, tables, train, train_ablation, train_nodes),
)
PEAK = """# The most that a run of reproduce with pipelines/cluster.yaml requests at a time; see its
# dgunet pipeline submit --dry-run. Written by `python -m pipelines.generate`.
"""
QUOTA = f"""{PEAK}apiVersion: v1
kind: ResourceQuota
metadata:
  name: dgunet-runs
spec:
  hard:
"""
QUEUE = f"""{PEAK}apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata:
  name: dgunet-gpu
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata:
  name: dgunet-gpu
spec:
  namespaceSelector: {{}}
  resourceGroups:
    - coveredResources: [cpu, memory, {GPU}]
      flavors:
        - name: dgunet-gpu
          resources:
"""
NOTE = "<!-- Written by `python -m pipelines.generate`; edit component.py instead. -->"


def generated() -> dict[Path, str]:
    """Every generated file, relative to the project, with its text."""
    made = {}
    for component in COMPONENTS:
        module = sys.modules[component.python_func.__module__]
        folder = Path(module.__file__).parent.relative_to(ROOT)
        text = compile_to_yaml(component)
        made[folder / "component.yaml"] = text
        made[folder / "README.md"] = readme(component, module.__doc__.strip(), text)
    compiled = Path("pipelines", "compiled")
    for name, build in PIPELINES.items():
        text = compile_pipeline(build)
        made[compiled / f"{name}.yaml"] = text
        drawing = svg(pipeline_graph(documents(text)[0]))
        made[Path("docs", "images", f"pipeline-{name}.svg")] = drawing
    cluster = load_cluster(ROOT / "pipelines" / "cluster.yaml")
    trainer = {"nodes": Trainer(nodes=2, shared="/state/shared"), "cluster": None}
    for kind, value in trainer.items():
        settings = cluster.model_copy(update={"trainer": value})
        text = compile_pipeline(PIPELINES["train_evaluate"], settings)
        made[compiled / f"train_evaluate.{kind}.yaml"] = text
    return made | deployed(cluster)


def deployed(cluster: Cluster) -> dict[Path, str]:
    """Quota and queue of ``deploy`` that a run of ``reproduce`` on this cluster fits into."""
    document, _ = documents(compile_pipeline(PIPELINES["reproduce"], cluster))
    root = chosen_graph(pipeline_graph(document), {"weights": "trained"})
    hard = peak(root, document["deploymentSpec"]["executors"]).quota
    quota = QUOTA + "".join(f'    {name}: "{amount}"\n' for name, amount in hard.items())
    names = ("requests.cpu", "requests.memory", f"requests.{GPU}")
    queue = QUEUE + "".join(
        f'            - {{name: {name.partition(".")[2]}, nominalQuota: "{hard[name]}"}}\n'
        for name in names
    )
    return {
        Path("deploy", "components", "quota", "quota.yaml"): quota,
        Path("deploy", "cluster", "kueue", "cluster-queue.yaml"): queue,
    }


def readme(component, title: str, text: str) -> str:
    """The page of one component: its docstring, with the types of its IR."""
    name = component.python_func.__name__
    spec, known = yaml.safe_load(text), name.replace("_", "-")
    interface = spec["components"][f"comp-{known}"]
    doc = docstring_parser.parse(component.python_func.__doc__)
    descriptions = {each.arg_name: each.description for each in doc.params}
    descriptions["Output"] = doc.returns.description if doc.returns else ""
    lines = [f"# {name}", "", NOTE, "", title, "", doc.short_description, ""]
    for heading, key in (("Inputs", "inputDefinitions"), ("Outputs", "outputDefinitions")):
        rows = [
            f"| `{entry}` | {kind} | {' '.join(descriptions[entry].split())} |"
            for entry, kind in _kinds(interface.get(key) or {})
        ]
        if rows:
            head = "| name | type | description |"
            lines += [f"## {heading}", "", head, "|---|---|---|", *rows, ""]
    image = spec["deploymentSpec"]["executors"][f"exec-{known}"]["container"]["image"]
    lines += [
        f"Image: `{image}`, or that of the cluster file. Nothing is installed at run time.",
        "",
    ]
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
    """Write the files, or check them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only list files that are out of date")
    check = parser.parse_args().check
    stale = []
    for path, text in generated().items():
        target = ROOT / path
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            stale.append(path)
            if not check:
                write_text(target, text)
    for path in stale:
        print(f"{'out of date' if check else 'wrote'}: {path}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
