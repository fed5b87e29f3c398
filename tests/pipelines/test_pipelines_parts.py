"""Test sets whose evaluation several pods share: the compiled pipelines and their plan."""

import json
import re

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from dgunet.costs.machines import chosen_machines
from dgunet.data.catalogue.entries import CATALOGUE
from dgunet.kubeflow.cluster.settings import Cluster, load_cluster
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from dgunet.kubeflow.pipeline.arguments import networks
from dgunet.kubeflow.pipeline.compiling import compile_pipeline, documents
from dgunet.kubeflow.pipeline.graph import Choice, chosen_graph, pipeline_graph
from dgunet.kubeflow.submission.plan import submission_plan
from dgunet.kubeflow.submission.plan_text import plan_text
from dgunet.terms import ABLATION_SET
from pipelines import PIPELINES
from pipelines.evaluation_parts import build_evaluate_ablation_parts, build_evaluate_parts

PARTS = {"Test2800": 4, "Rain100H": 2, "HIDE": 3}

ALL = [name for name, entry in CATALOGUE.items() if entry.role == "test"]

PARTS_NAME = re.compile(r"evaluate-\S+-parts(-\d+)?")


@pytest.fixture(scope="module")
def cluster(project):
    """The documented cluster file with parts."""
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")
    return cluster.model_copy(update={"parts": PARTS})


@pytest.fixture(scope="module")
def compiled(cluster):
    """The IR of `reproduce`, and its Kubernetes settings by executor."""
    return documents(compile_pipeline(PIPELINES["reproduce"], cluster))


@pytest.fixture
def arguments(project):
    text = (project / "params.yaml").read_text()
    return {
        "params": text.replace("profile: sample", "profile: paper"),
        "data_source": "https://example.org/x.git",
        "data_version": "c" * 40,
        "code_version": "1",
        "networks": [entry for entry in networks(["DGUNet"]) if entry["kind"] == "derain"],
        "test_sets": ["Test2800", "Rain100H", "Rain100L"],
        "ablations": ["stages-7"],
        "weights": "trained",
    }


def test_an_evaluation_follows_the_parts_of_its_set(compiled):
    root = chosen_graph(pipeline_graph(compiled[0]), {"weights": "trained"})
    loops = {node.about: node for node in root.walk() if node.kind == "loop"}
    of_sets = {node.step: node for node in loops["outputs of survey"].inner}
    for name, count in PARTS.items():
        parts = of_sets[f"evaluate-{name.lower()}-parts"]
        assert parts.name in of_sets["evaluate"].after
        assert parts.only_if == Choice("dataset", name)
        ((loop,),) = (condition.inner for condition in parts.inner)
        assert (loop.about, loop.limit) == (f"{count} parts", count)
        assert [node.step for node in loop.inner] == ["evaluate-part"]
    of_ablations = {node.step: node for node in loops["ablations"].inner}
    parts = of_ablations["evaluate-ablation-parts"]
    assert parts.name in of_ablations["evaluate-ablation"].after
    assert [loop.about for loop in parts.inner] == ["2 parts"], "of Rain100H, unconditionally"


@pytest.mark.parametrize("name", PIPELINES)
def test_the_parts_of_all_sets_are_all_that_is_added_to_a_pipeline(project, name):
    """kfp mixes up groups of an inner pipeline with those of the outer one; see the docstring."""
    sets = ALL if name == "reproduce" else ALL[:3]
    settings = {"environment": {"DGUNET_HOME": "/state"}, "parts": dict.fromkeys(sets, 2)}
    volumes = [{"claim": "state", "path": "/state"}]
    cluster = Cluster(image=f"x@sha256:{'7' * 64}", volumes=volumes, **settings)
    divided, _ = documents(compile_pipeline(PIPELINES[name], cluster))
    plain, _ = documents((project / "pipelines" / "compiled" / f"{name}.yaml").read_text())
    found, wanted = (outline(pipeline_graph(document)) for document in (divided, plain))
    assert found == wanted
    steps = [node for node in pipeline_graph(divided).walk() if node.step == "evaluate-part"]
    of_ablations = int(ABLATION_SET in sets)
    expected = {"reproduce": 2 * (len(sets) + 1), "ablations": of_ablations}
    assert len(steps) == expected.get(name, len(sets))


def outline(node):
    """What a node and those below it are, without pipelines of parts."""
    inner = [outline(each) for each in node.inner if not PARTS_NAME.fullmatch(each.name)]
    after = [name for name in node.after if not PARTS_NAME.fullmatch(name)]
    return (node.name, node.kind, node.about, node.limit, node.cached, after, inner)


def test_the_parts_together_are_the_set(compiled):
    loops = [
        task["parameterIterator"]
        for component in compiled[0]["components"].values()
        for task in component.get("dag", {}).get("tasks", {}).values()
        if "raw" in task.get("parameterIterator", {}).get("items", {})
    ]
    lists = {tuple(json.loads(loop["items"]["raw"])) for loop in loops}
    assert lists == {("1/4", "2/4", "3/4", "4/4"), ("1/3", "2/3", "3/3"), ("1/2", "2/2")}


def test_the_pod_of_a_part_is_that_of_an_evaluation(compiled, cluster):
    spec, pods = compiled
    executors = spec["deploymentSpec"]["executors"]
    parts = [name for name in executors if name.startswith("exec-evaluate-part")]
    assert parts
    for name in parts:
        for key in ("image", "env", "resources"):
            assert (
                executors[name]["container"][key] == (executors["exec-evaluate"]["container"][key])
            )
        assert pods[name] == pods["exec-evaluate"]
        assert pods[name]["pvcMount"][0]["mountPath"] == "/state"


def test_the_schema_knows_every_field_of_the_parts(compiled):
    json_format.ParseDict(compiled[0], PipelineSpec())
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": compiled[1]}}}}
    json_format.ParseDict(platform, PlatformSpec())


def test_ablations_are_not_divided_by_the_parts_of_other_sets(cluster):
    placements = [
        TaskPlacement(cluster.model_copy(update={"parts": parts}))
        for parts in ({"HIDE": 3}, {ABLATION_SET: 2})
    ]
    assert [len(build_evaluate_ablation_parts(each)) for each in placements] == [0, 1]
    assert build_evaluate_parts(TaskPlacement()) == []


def planned(compiled, arguments, cluster, **options):
    return submission_plan(
        *compiled, arguments, version="1", machines=chosen_machines("A100"), cluster=cluster,
        **options,
    )  # fmt: skip


def test_the_plan_has_the_parts_of_the_sets_of_the_run(compiled, arguments, cluster):
    text = plan_text(planned(compiled, arguments | {"weights": "released"}, cluster))
    assert "if dataset == 'Test2800':" in text and "for all 4 parts, 4 at a time:" in text
    assert "HIDE" not in text, "it is not among the test sets"
    # one network x 2 sets at a time x at most 4 pods with a GPU each, beside an ablation's 2
    assert "GPUs at a time: at most 10" in text
    fewer = arguments | {"weights": "released", "test_sets": ["Rain100H", "Rain100L"]}
    assert planned(compiled, fewer, cluster).gpus_at_a_time == 6


def test_the_parts_shorten_the_wall_time_and_take_the_same_gpu_hours(compiled, arguments, cluster):
    one = cluster.model_copy(update={"parts": {}})
    plain, shared = (planned(compiled, arguments, each).estimate for each in (one, cluster))

    def seconds(made, name):
        (index,) = [n for n, work in enumerate(made.works) if work.name.startswith(name)]
        return made.machines[0].seconds[index]

    for name, count in (("Test2800 ", 4), ("Rain100H derain", 2), ("Rain100H stages-7", 2)):
        assert seconds(shared, name) == pytest.approx(seconds(plain, name) / count)
    assert seconds(shared, "Rain100L ") == seconds(plain, "Rain100L ")
    assert shared.machines[0].hours == pytest.approx(plain.machines[0].hours)
    assert shared.machines[0].other_wall < plain.machines[0].other_wall / 2


def test_a_quota_below_the_number_of_parts_delays_them_but_not_for_ever(
    compiled, arguments, cluster
):
    arguments |= {"weights": "released"}
    walls = [
        planned(compiled, arguments, cluster, quota=quota).estimate.machines[0].wall
        for quota in (1, 2, 4)
    ]
    assert walls[0] > walls[1] > walls[2] > 0


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Choice("dataset", "HIDE"), Choice("dataset", "GoPro"), True),
        (Choice("dataset", "HIDE"), Choice("dataset", "HIDE"), False),
        (Choice("dataset", "HIDE"), Choice("dataset", "HIDE", negated=True), True),
        (Choice("dataset", "HIDE"), Choice("dataset", "GoPro", negated=True), False),
        (Choice("dataset", "HIDE"), Choice("weights", "trained"), False),
    ],
)
def test_conditions_that_exclude_each_other(one, other, expected):
    assert one.excludes(other) is expected and other.excludes(one) is expected
