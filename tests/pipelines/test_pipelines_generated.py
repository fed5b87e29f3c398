"""Generated components and pipelines are up to date, valid, and install nothing."""

import ast
import json
import re

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from dgunet.kubeflow.pipeline.graph import chosen_graph, pipeline_graph, unnumbered
from pipelines import PIPELINES
from pipelines.generate import ROOT, generated


@pytest.fixture(scope="module")
def made():
    return generated()


def test_the_committed_files_are_up_to_date(made):
    stale = [str(path) for path, text in made.items() if (ROOT / path).read_text() != text]
    assert not stale, "run: make pipelines"


def test_every_component_is_generated(made):
    folders = {path.parent.name for path in ROOT.glob("components/*/component.py")}
    assert {
        "prepare",
        "train",
        "evaluate",
        "train_ablation",
        "evaluate_ablation",
        "tables",
        "report",
    } <= folders
    for name in folders:
        assert f"components/{name}/component.yaml" in {path.as_posix() for path in made}
        page = (ROOT / "components" / name / "README.md").read_text()
        assert not re.search(r"\|\s*\|$", page, re.MULTILINE), f"{name}: an undocumented entry"


@pytest.fixture(params=[*PIPELINES, "train_evaluate.cluster", "train_evaluate.nodes"])
def documents(request):
    path = ROOT / "pipelines" / "compiled" / f"{request.param}.yaml"
    return list(yaml.safe_load_all(path.read_text()))


def test_the_schema_knows_every_field(documents):
    parsed = json_format.ParseDict(documents[0], PipelineSpec())
    assert parsed.pipeline_info.name.startswith("dgunet-")
    for platform in documents[1:]:
        json_format.ParseDict(platform, PlatformSpec())
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for content in executors.values():
            json_format.ParseDict(content, KubernetesExecutorConfig())


def test_an_unknown_field_is_refused_by_the_schema(documents):
    task = next(iter(documents[0]["root"]["dag"]["tasks"].values()))
    task["componentReference"] = task.pop("componentRef")
    with pytest.raises(json_format.ParseError, match="componentReference"):
        json_format.ParseDict(documents[0], PipelineSpec())


def test_containers_install_nothing(documents):
    executors = documents[0]["deploymentSpec"]["executors"]
    assert executors
    for executor in executors.values():
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_component_bodies_are_short():
    for path in ROOT.glob("components/*/component.py"):
        body = path.read_text().rpartition('"""')[2].strip().splitlines()
        assert len(body) <= 30, path


PINNED = (
    *("survey", "prepare", "train", "train-nodes", "evaluate", "load"),
    *("fetch-weights", "train-ablation", "evaluate-ablation"),
)
"""Tasks whose outputs depend on code and image."""


def test_everything_that_changes_a_result_is_a_parameter(documents):
    components = documents[0]["components"]
    for name, component in components.items():
        if not re.match(rf"comp-({'|'.join(PINNED)})(-\d+)?$", name):
            continue
        parameters = set(component["inputDefinitions"]["parameters"])
        assert {"code_version", "image_digest"} <= parameters, name
        if name.startswith("comp-evaluate"):
            assert "protocols" in parameters
        if name.startswith(("comp-prepare", "comp-survey")):
            assert {"data_source", "data_version"} <= parameters


UNPINNED = {
    "gather": "copies results",
    "keep_model": "copies weights that their digest identifies",
    "submission": "describes results",
    "finish": "reports the end of the run, which it must do whatever the code is",
}


def is_pinned(source):
    """Return whether the component passes its code version and image to `check_pins`."""
    (function,) = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)]
    calls = [
        node
        for statement in function.body
        if isinstance(statement, ast.Expr)
        for node in [statement.value]
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "check_pins"
    ]
    pins = {f"{word.arg}={ast.unparse(word.value)}" for call in calls for word in call.keywords}
    parameters = {argument.arg for argument in function.args.args}
    return "code=code_version" in pins and (
        "image_digest" not in parameters or "image=image_digest" in pins
    )


def test_every_component_that_computes_or_selects_something_is_pinned():
    sources = {p.parent.name: p.read_text() for p in ROOT.glob("components/*/component.py")}
    assert set(UNPINNED) < set(sources)
    assert {name for name, source in sources.items() if not is_pinned(source)} == set(UNPINNED)


@pytest.mark.parametrize("pinned", ["check_pins(code=code_version, image=image_digest)"])
@pytest.mark.parametrize("other", ["pass", "check_pins(code='')", "check_pins(code=code_version)"])
def test_a_component_without_its_pins_is_detected(pinned, other):
    source = (ROOT / "components" / "survey" / "component.py").read_text()
    assert pinned in source and is_pinned(source)
    assert not is_pinned(source.replace(pinned, other))


def tasks_of(document):
    """Yield every task of every graph in a pipeline."""
    graphs = [document["root"], *document["components"].values()]
    for graph in graphs:
        yield from graph.get("dag", {}).get("tasks", {}).items()


def test_preparation_downloads_and_evaluation_are_cached_and_training_is_not(documents):
    for name, task in tasks_of(documents[0]):
        cached = bool(task.get("cachingOptions", {}).get("enableCache"))
        kind = name.partition("-")[0]
        if kind not in ("for", "condition", "exit"):
            assert cached == (kind in ("prepare", "evaluate", "fetch", "keep", "score")), name


def test_loops_conditions_and_the_exit_handler(documents):
    tasks = dict(tasks_of(documents[0]))
    loops = [task for name, task in tasks.items() if name.startswith("for-loop")]
    assert loops
    for loop in loops:
        assert loop["iteratorPolicy"]["parallelismLimit"] > 0
    end = documents[0]["root"]["dag"]["tasks"]["finish"]
    assert end["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    if documents[0]["pipelineInfo"]["name"] != "dgunet-ablations":
        waits = [t["triggerPolicy"]["condition"] for t in tasks.values() if is_conditional(t)]
        on_server = [text for text in waits if "waiting for the server" in text]
        chosen = [text for text in waits if "--weights'] == 'trained'" in text]
        branches = 2 if documents[0]["pipelineInfo"]["name"] == "dgunet-reproduce" else 1
        assert len(on_server) == branches
        assert len(chosen) == len(waits) - branches == 2 * (branches - 1)


@pytest.mark.parametrize("name", PIPELINES)
def test_preparations_are_cached_by_the_profile_not_by_all_settings(name):
    """A changed setting of a training must not prepare every dataset again."""
    (spec,) = yaml.safe_load_all((ROOT / "pipelines" / "compiled" / f"{name}.yaml").read_text())
    steps = {task["componentRef"]["name"] for _, task in tasks_of(spec)}
    assert "comp-prepare" in {name.rstrip("-0123456789") for name in steps}
    for step in steps:
        if step.rstrip("-0123456789") in ("comp-prepare", "comp-survey"):
            inputs = spec["components"][step]["inputDefinitions"]["parameters"]
            assert "profile" in inputs and "params" not in inputs


def test_every_training_set_is_prepared_once_before_the_networks_that_share_it():
    (spec,) = yaml.safe_load_all((ROOT / "pipelines/compiled/reproduce.yaml").read_text())
    root = chosen_graph(pipeline_graph(spec), {"weights": "trained"})
    nodes = {node.about or node.name: node for node in root.walk()}
    once = nodes["prepare-training-sets"]
    assert [node.about for node in once.inner] == ["training_sets"]
    assert once.name in nodes["networks"].after
    (branch,) = [node for node in root.walk() if once in node.inner]
    before = [node for node in branch.inner if node.name in nodes["ablations"].after]
    assert [node.step for node in before if once.name in node.after] == ["prepare"]
    keys = {name: key_of(spec, name) for name, _ in tasks_of(spec) if name.startswith("prepare")}
    del keys[once.name]
    assert len(set(keys.values())) == 1, "else the cache does not have what was prepared before"


def key_of(spec, task):
    """The interface of a step, without the values of its parameters, which the cache compares."""
    (one, *_) = [each for name, each in tasks_of(spec) if name == task]
    component = spec["components"][one["componentRef"]["name"]]
    executor = spec["deploymentSpec"]["executors"].get(component.get("executorLabel"), {})
    return json.dumps([component.get("inputDefinitions"), executor], sort_keys=True)


@pytest.mark.parametrize("name", PIPELINES)
def test_evaluations_and_tables_are_cached_by_the_settings_that_they_read(name):
    """A changed setting of a training must not evaluate fetched or cached networks again."""
    (spec,) = yaml.safe_load_all((ROOT / "pipelines" / "compiled" / f"{name}.yaml").read_text())
    read = {"comp-evaluate": "evaluation", "comp-evaluate-ablation": "evaluation"}
    read |= {"comp-tables": "profile", "comp-report": "profile"}
    steps = {task["componentRef"]["name"] for _, task in tasks_of(spec)}
    for step in steps:
        if setting := read.get(step.rstrip("-0123456789")):
            inputs = spec["components"][step]["inputDefinitions"]["parameters"]
            assert setting in inputs and "params" not in inputs


def test_names_on_the_server_have_no_number_and_say_what_a_step_works_on(documents):
    names = {name: task["taskInfo"]["name"] for name, task in tasks_of(documents[0])}
    for name, shown in names.items():
        kind = unnumbered(name)
        if kind in ("condition-branches", "exit-handler", "condition"):
            continue
        if kind == "for-loop":
            assert shown in ("networks", "ablations", "test sets", "training sets")
        elif kind == "prepare":
            assert re.fullmatch(r"prepare: (.* set|\S+ for the ablations)( of the network)?", shown)
        else:
            assert shown.partition(":")[0] == kind
            assert kind[:5] != "train" or shown.endswith((": network", ": ablation"))


def is_conditional(task):
    """Return whether the task runs only under a condition."""
    return "condition" in task.get("triggerPolicy", {})


def test_a_cluster_file_sets_retries_timeouts_and_resources():
    path = ROOT / "pipelines" / "compiled" / "train_evaluate.cluster.yaml"
    spec, platform = yaml.safe_load_all(path.read_text())
    tasks = dict(tasks_of(spec))
    assert tasks["train"]["retryPolicy"] == {
        "backoffDuration": "120s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "3600s",
        "maxRetryCount": 5,
    }
    assert "retryPolicy" not in tasks["finish"]
    train = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert train["image"].startswith("registry.example.org/dgunet@sha256:")
    assert train["resources"]["accelerator"]["resourceCount"] == "8"
    environment = {entry["name"]: entry["value"] for entry in train["env"]}
    assert environment["DGUNET_IMAGE_DIGEST"] == train["image"].partition("@")[2]
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert pods["exec-train"]["activeDeadlineSeconds"] == "1209600"
    assert pods["exec-train"]["emptyDirMounts"][0]["medium"] == "Memory"
    assert pods["exec-train"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pods["exec-tables"]["secretAsEnv"][0]["secretName"] == "s3-credentials"
    assert "AWS_SECRET_ACCESS_KEY" not in str(spec)


def test_with_a_trainer_only_the_nodes_get_gpus():
    path = ROOT / "pipelines" / "compiled" / "train_evaluate.nodes.yaml"
    spec, platform = yaml.safe_load_all(path.read_text())
    component = spec["components"]["comp-train-nodes"]
    passed = {p["field"]: p.get("applyToTask", False) for p in component["taskConfigPassthroughs"]}
    assert passed == {
        "RESOURCES": False,
        "KUBERNETES_TOLERATIONS": False,
        "KUBERNETES_NODE_SELECTOR": False,
        "KUBERNETES_AFFINITY": False,
        "ENV": True,
        "KUBERNETES_VOLUMES": True,
    }
    task = dict(tasks_of(spec))["train-nodes"]
    given = task["inputs"]["parameters"]
    constants = {k: v["runtimeValue"]["constant"] for k, v in given.items() if "runtimeValue" in v}
    assert (constants["nodes"], constants["shared"]) == (2, "/state/shared")
    assert constants["image"].startswith("registry.example.org/dgunet@sha256:")
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train-nodes"]
    assert pods["pvcMount"][0]["mountPath"] == "/state" and pods["nodeSelector"]
    assert task["retryPolicy"]["maxRetryCount"] == 5
    assert "comp-train" not in spec["components"]


def test_without_a_trainer_the_step_keeps_its_gpus():
    """A component that forwards resources has none in its own pod, so there are two components."""
    path = ROOT / "pipelines" / "compiled" / "train_evaluate.cluster.yaml"
    spec, _ = yaml.safe_load_all(path.read_text())
    assert "taskConfigPassthroughs" not in spec["components"]["comp-train"]
    assert "comp-train-nodes" not in spec["components"]
