"""The plan and the drawing match the compiled pipeline."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgunet.costs.calibration import write_calibration
from dgunet.costs.estimate import Price
from dgunet.costs.evaluation_cost import evaluation_cost
from dgunet.costs.formats import duration
from dgunet.costs.machines import Probe, chosen_machines, given_machine, named_machines
from dgunet.costs.training_cost import training_cost
from dgunet.costs.wall_time import Job, wall_seconds
from dgunet.kubeflow.cluster.settings import Secret, Trainer, load_cluster
from dgunet.kubeflow.pipeline.arguments import networks
from dgunet.kubeflow.pipeline.compiling import (
    LOCAL,
    compile_pipeline,
    documents,
    version_name,
    with_image,
)
from dgunet.kubeflow.pipeline.drawing import svg
from dgunet.kubeflow.pipeline.graph import TaskNode, chosen_graph, pipeline_graph
from dgunet.kubeflow.pipeline.weights_origin import weights_plans
from dgunet.kubeflow.submission import pod_logs
from dgunet.kubeflow.submission.cost import evaluations, trainings
from dgunet.kubeflow.submission.peak import gpus_at_a_time
from dgunet.kubeflow.submission.plan import submission_plan
from dgunet.kubeflow.submission.plan_text import plan_text
from dgunet.kubeflow.submission.submitting import check_consent
from dgunet.network import preset
from dgunet.recipes.trainings import paper
from dgunet.system.errors import DgunetError
from pipelines import PIPELINES


@pytest.fixture(scope="module")
def compiled(project):
    """The IR of `train_evaluate` on the documented cluster."""
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")
    return compile_pipeline(PIPELINES["train_evaluate"], cluster)


@pytest.fixture
def arguments(project):
    text = (project / "params.yaml").read_text()
    return {
        "params": text.replace("profile: sample", "profile: paper"),
        "data_source": "https://example.org/x.git",
        "data_version": "c" * 40,
        "code_version": "1",
        "training_set": "Rain13K",
        "test_sets": ["Rain100L"],
        "task": "derain",
    }


def planned(*args, gpu=None, tflops=None, **options):
    """The plan as text."""
    machines = chosen_machines(gpu, tflops)
    return plan_text(submission_plan(*args, version="1", machines=machines, **options))


@pytest.fixture(scope="module")
def whole(project):
    """The IR of `reproduce` on the documented cluster."""
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")
    return documents(compile_pipeline(PIPELINES["reproduce"], cluster))


@pytest.fixture
def of_all(arguments):
    """Arguments of `reproduce` without its `weights`."""
    more = {"networks": networks(["DGUNet"]), "ablations": ["stages-7"]}
    return {name: arguments[name] for name in arguments if name != "training_set"} | more


def test_the_graph_of_the_whole_paper(whole):
    root = chosen_graph(pipeline_graph(whole[0]), {"weights": "trained"})
    loops = {node.about: node for node in root.walk() if node.kind == "loop"}
    assert {"networks", "ablations"} < set(loops)
    inner = [node.step for node in loops["networks"].inner]
    assert inner.index("prepare") < inner.index("train-nodes") < inner.index("gather")
    steps = [node.step for node in loops["ablations"].inner]
    assert steps == ["train-nodes", "keep-model", "evaluate-ablation"]
    conditions = [node.about for node in root.walk() if node.kind == "condition"]
    assert conditions == ["weights == 'trained'", "evaluate == 'waiting for the server'"]
    assert root.inner[-1].last and root.inner[-1].name == "finish"


def test_the_graph_of_the_whole_paper_without_a_training(whole):
    both = pipeline_graph(whole[0])
    root = chosen_graph(both, {"weights": "released"})
    conditions = [node.about for node in root.walk() if node.kind == "condition"]
    assert conditions == ["weights != 'trained'", "evaluate-2 == 'waiting for the server'"]
    loops = {node.about: node for node in root.walk() if node.kind == "loop"}
    assert "fetch-weights" in [node.step for node in loops["networks"].inner]
    assert [node.step for node in loops["ablations"].inner] == ["evaluate-ablation"]
    steps = {node.step for node in root.walk() if node.kind == "step"}
    assert not steps & {"train", "train-ablation"} and {"tables", "report", "finish"} <= steps
    assert chosen_graph(both, {}) == both  # without the argument both branches stay


def test_the_plan_counts_only_the_branch_that_will_run(whole, of_all):
    texts = {
        origin: planned(*whole, of_all | {"weights": origin}) for origin in ("trained", "released")
    }
    assert "if weights == 'trained'" in texts["trained"] and "fetch-weights" not in texts["trained"]
    # 4 networks at a time with 8 GPUs each, beside one ablation
    assert "GPUs at a time: at most 33" in texts["trained"]
    quota = "quota of the namespace that all this fits into: requests.cpu "
    assert quota in texts["trained"] and "requests.nvidia.com/gpu 33, pods " in texts["trained"]
    assert "GPU-hours" in texts["trained"] and "licence" not in texts["trained"]
    assert "if weights != 'trained'" in texts["released"] and "train  " not in texts["released"]
    # 4 networks x 2 sets at a time with one GPU each, beside one ablation
    assert "GPUs at a time: at most 9" in texts["released"]
    assert "training: none" in texts["released"]
    for line in ("weights   DGUNet: ", "weights   DGUNet-cs: "):
        assert line in texts["released"]
    assert "no licence file" in texts["released"]


def test_a_run_is_not_submitted_before_the_terms_are_accepted(project, of_all):
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")

    def with_value(text):
        more = cluster.environment | {"DGUNET_ACCEPT_LICENCE": text}
        return cluster.model_copy(update={"environment": more})

    plans = weights_plans(of_all | {"weights": "released"})
    assert [plan.name for plan in plans] == ["DGUNet", "DGUNet-cs"]
    with pytest.raises(DgunetError, match=r"licence of DGUNet,DGUNet-cs .* environment\.DGUNET_AC"):
        check_consent(cluster, plans)
    with pytest.raises(DgunetError, match="licence of DGUNet-cs has"):
        check_consent(with_value("DGUNet"), plans)
    check_consent(with_value("all"), plans)
    secret = Secret(name="terms", keys={"accepted": "DGUNET_ACCEPT_LICENCE"})
    check_consent(cluster.model_copy(update={"secrets": [secret]}), plans)
    check_consent(cluster, weights_plans(of_all | {"weights": "trained"}))


def test_the_plan_lists_steps_resources_and_cost(compiled, arguments):
    document, of_pods = documents(compiled)
    text = planned(document, of_pods, arguments)
    for part in ("profile paper", "train-nodes ", "128Gi", "32Gi", "1209600 s", "A100", "--tflops"):
        assert part in text
    assert "GPUs at a time: at most 8" in text
    (made,) = trainings(arguments, load(arguments["params"]))
    for machine in named_machines():
        assert machine.name in text and machine.assumption in text
        assert duration(made.cost.seconds(machine, 8)) in text
    only = planned(document, of_pods, arguments, gpu="a100")
    assert "A100-80GB: " in only and "H100" not in only
    given = planned(document, of_pods, arguments, tflops=20)
    assert duration(made.cost.seconds(given_machine(20), 8)) in given
    assert "20 TFLOP/s sustained; given" in given and "V100" not in given


def test_the_json_of_the_plan_has_the_numbers_of_its_text(project, whole, of_all):
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")
    plan = submission_plan(
        *whole,
        of_all | {"weights": "trained"},
        version="1",
        machines=chosen_machines("H200"),
        quota=16,
        price=Price(2.5, "EUR"),
        cluster=cluster,
    )
    text, content = plan_text(plan), json.loads(json.dumps(plan.content()))
    works, (machine,) = content["estimate"]["works"], content["estimate"]["machines"]
    assert f"{machine['gpu_hours']:,.0f} GPU-hours in total" in text
    assert f"{machine['money']['amount']:,.0f} EUR" in text and "price: 2.5 EUR per" in text
    assert machine["money"]["amount"] == pytest.approx(2.5 * machine["gpu_hours"])
    assert f"H200-141GB: {duration(machine['training_wall_seconds'])}; with all" in text
    assert f"at most {duration(machine['wall_seconds'])}" in text
    for work, of_machine in zip(works, machine["works"], strict=True):
        hours = of_machine["seconds"] * work["gpus"] / 3600
        assert of_machine["gpu_hours"] == pytest.approx(hours)
        if work["step"].startswith("train"):
            (line,) = [each for each in text.splitlines() if each.startswith(f"  {work['name']} ")]
            assert line.endswith(f"  {duration(of_machine['seconds'])}")
    evaluated = [work for work in works if work["step"] == "evaluate"]
    assert f"In the totals are {len(evaluated) + 1} evaluations" in text
    assert [w["name"] for w in works if w["step"] == "evaluate-ablation"] == ["Rain100H stages-7"]
    assert content["storage"]["stores_bytes"] == plan.storage.stores.total
    assert all(f"  warning: {each}" in text for each in content["warnings"])


def test_the_command_prints_the_plan_as_json_with_a_calibration(dgunet, project, tmp_path):
    machine = replace(given_machine(20), probe=Probe("cuda", 1, None, 512, 9, 0.1, 3.0))
    write_calibration(tmp_path / "machine.json", replace(machine, training_rate=1e13))
    given = ("-p", "data_source=/data", "-p", "data_version=1", "-p", "task=derain")
    cluster = ("--cluster", project / "pipelines" / "cluster.yaml")
    plan = ("pipeline", "plan", "train_evaluate", *cluster, *given)
    calibrated = (*plan, "--calibration", tmp_path / "machine.json")
    result = dgunet(*calibrated, "--price", "2.5", "--currency", "EUR", "--json")
    assert result.returncode == 0, result.stderr
    (of_machine,) = json.loads(result.stdout)["estimate"]["machines"]
    assert of_machine["measured"] and of_machine["training_flops_per_second"] == 1e13
    assert of_machine["money"]["amount"] == pytest.approx(2.5 * of_machine["gpu_hours"])
    refused = dgunet(*calibrated, "--gpu", "A100")
    assert refused.returncode == 1 and "--calibration and --gpu together" in refused.stderr
    refused = dgunet(*plan, "--currency", "EUR")
    assert refused.returncode == 1 and "--currency without --price" in refused.stderr


def test_without_a_price_the_plan_names_no_money(whole, of_all):
    plan = submission_plan(*whole, of_all | {"weights": "trained"}, version="1")
    assert {each["money"] for each in plan.content()["estimate"]["machines"]} == {None}
    assert "price:" not in plan_text(plan)


def test_the_evaluations_of_given_weights_are_counted(whole, of_all):
    given = {name: of_all[name] for name in of_all if name not in ("networks", "ablations")}
    given |= {"task": "derain", "weights": "s3://a/b", "weights_sha256": "0" * 64}
    params = load(given["params"])
    (found,) = evaluations(given, params)
    assert (found.name, found.step) == ("Rain100L derain-DGUNet", "evaluate")
    assert found.cost.operations == evaluation_cost("Rain100L", preset("derain")).operations
    assert evaluations(given, params.model_copy(update={"profile": "sample"})) == []


def test_the_plan_says_what_an_eviction_does_to_a_training(project, compiled, arguments):
    text = planned(*documents(compiled), arguments, tflops=20)
    assert "Trainings are TrainJobs, which continue after an eviction" in text
    assert "hint" not in text
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")
    cluster = cluster.model_copy(update={"trainer": None})
    in_pods = documents(compile_pipeline(PIPELINES["train_evaluate"], cluster))
    text = planned(*in_pods, arguments, tflops=20)
    assert "hint: a training whose pod is evicted" in text and "With trainer: in the" in text
    steps = {name: step.model_copy(update={"gpus": 0}) for name, step in cluster.steps.items()}
    without = cluster.model_copy(update={"steps": steps})
    on_cpus = documents(compile_pipeline(PIPELINES["train_evaluate"], without))
    text = planned(*on_cpus, arguments, tflops=20)
    assert "hint" not in text and "TrainJobs" not in text


def test_the_cost_is_computed_from_the_recipe(arguments):
    params = load(arguments["params"].replace("architecture: released", "architecture: paper"))
    (made,) = trainings(arguments | {"variant": "DGUNet+"}, params)
    recipe = paper("derain", "DGUNet+")
    assert made.cost.settings == recipe.training
    assert made.cost.operations == training_cost(recipe.network, recipe.training).operations


def test_trainings_wait_for_the_loop_and_for_the_quota():
    pair = [Job("train", 8, 10.0), Job("train", 8, 6.0), Job("train", 8, 5.0)]
    more = [Job("train-ablation", 1, 30.0)]
    together = {"train": 2, "train-ablation": 1}
    assert wall_seconds(pair, together, None) == 11.0
    assert wall_seconds(pair + more, together, None) == 30.0
    assert wall_seconds(pair + more, together, 16) == 10 + 30.0
    assert wall_seconds(pair, together, 8) == 21.0
    assert wall_seconds(pair, {"train": 1}, None) == 21.0
    assert wall_seconds(pair, together, 7) is None
    assert wall_seconds([], together, 1) == 0


@given(
    st.lists(st.tuples(st.integers(1, 8), st.floats(0.1, 1e6)), max_size=12),
    st.integers(1, 4),
    st.integers(8, 40),
)
def test_a_schedule_is_between_its_bounds(jobs, together, quota):
    planned = [Job("train", gpus, seconds) for gpus, seconds in jobs]
    wall = wall_seconds(planned, {"train": together}, quota)
    seconds = [each.seconds for each in planned]
    work = sum(each.gpus * each.seconds for each in planned) / quota
    least = max([work, sum(seconds) / together, *seconds], default=0)
    assert least * (1 - 1e-9) <= wall <= sum(seconds) * (1 + 1e-9)


def test_the_plan_warns_of_a_timeout_a_deadline_and_a_small_quota(project, whole, of_all):
    given = of_all | {"weights": "trained"}
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")

    def plan(deadline=None, **options):
        ending = cluster.ending.model_copy(update={"deadline": deadline})
        changed = cluster.model_copy(update={"ending": ending})
        return planned(*whole, given, cluster=changed, **options)

    slow = plan(tflops=0.5, deadline=86_400)
    assert "warning: on GPU the run needs at least" in slow
    assert "ending.deadline stops it after 24 h" in slow
    assert "train steps need more than their timeout of 14 days (steps.train.timeout)" in slow
    assert "1 of 1 train-ablation steps" in slow and "(steps.train_ablation.timeout)" in slow
    fast = plan(tflops=500, deadline=86_400 * 30)
    assert "warning" not in fast
    assert "with a quota of 8 GPUs:" in plan(gpu="A100", quota=8)
    assert "warning: V100-32GB has 32.0 GB, too little for stages-7; stages-7" in plan(gpu="V100")
    assert "too little" not in plan(gpu="A100")
    assert "a training needs more GPUs than the quota; its pod stays pending" in plan(quota=4)


def test_a_training_as_a_trainjob_is_planned_with_its_own_gpus(project, of_all):
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")
    nodes = cluster.model_copy(update={"trainer": Trainer(nodes=2, shared="/state/shared")})
    made = documents(compile_pipeline(PIPELINES["reproduce"], nodes))
    text = planned(*made, of_all | {"weights": "trained"}, gpu="A100")
    (network,) = [line for line in text.splitlines() if line.startswith("  derain-DGUNet ")]
    (ablated,) = [line for line in text.splitlines() if line.startswith("  stages-7 ")]
    assert network.split("^2")[1].split()[0] == "16" and ablated.split("^2")[1].split()[0] == "1"


def load(text):
    from dgunet.config import parse_params

    return parse_params(text)


def node(name, *after, **more):
    return TaskNode(name, "step", after=after, executor=name, **more)


def executors(**gpus):
    given = {"resources": {"accelerator": {"resourceCount": "1"}}}
    made = {}
    for name, count in gpus.items():
        given = {"resources": {"accelerator": {"resourceCount": str(count)}}} if count else {}
        made[name] = {"container": given}
    return made


def test_gpus_at_a_time_are_the_sum_over_independent_steps():
    asks = executors(a=4, b=2, c=1, d=3)
    chain = (node("a"), node("b", "a"), node("c", "b"), node("d"))
    assert gpus_at_a_time(TaskNode("all", "group", inner=chain), asks) == 4 + 3
    loop = TaskNode("loop", "loop", about="sets", limit=5, inner=chain)
    assert gpus_at_a_time(loop, asks) == 5 * 7
    assert gpus_at_a_time(loop, asks, {"sets": 2}) == 2 * 7
    assert gpus_at_a_time(node("a", nodes=3), asks) == 12


def test_version_names_depend_on_content_and_images_can_be_replaced(compiled):
    assert version_name(compiled) == version_name(str(compiled))
    other = with_image(compiled, "other:1")
    assert version_name(other) != version_name(compiled)
    document, of_pods = documents(other)
    images = {e["container"]["image"] for e in document["deploymentSpec"]["executors"].values()}
    assert images == {"other:1"}
    assert of_pods == documents(compiled)[1]


def test_the_drawing_is_the_same_every_time_and_shows_every_step(compiled):
    root = pipeline_graph(documents(compiled)[0])
    drawing = svg(root)
    assert drawing == svg(root)
    assert ElementTree.fromstring(drawing).tag.endswith("svg")
    for step in ("survey", "train-nodes", "evaluate", "submission", "finish (always)"):
        assert f"<!-- {step} -->" in drawing  # text is drawn as outlines, each with a comment


def test_compile_reproduces_the_committed_file(dgunet, project, tmp_path):
    out = tmp_path / "it.yaml"
    result = dgunet("pipeline", "compile", "ablations", "--out", out)
    assert result.returncode == 0, result.stderr
    committed = project / "pipelines" / "compiled" / "ablations.yaml"
    assert out.read_text() == committed.read_text()
    assert version_name(out.read_text()) in result.stdout


@pytest.mark.parametrize("name", PIPELINES)
def test_kfp_compiles_the_pipeline_of_a_file(project, tmp_path, name):
    out = tmp_path / "it.yaml"
    command = [Path(sys.executable).with_name("kfp"), "dsl", "compile", "--output", out]
    done = subprocess.run(
        [*command, "--py", project / "pipelines" / f"{name}.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    committed = (project / "pipelines" / "compiled" / f"{name}.yaml").read_text()
    assert committed == LOCAL + out.read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("compile", "reproduces"), "did you mean reproduce"),
        (("compile", "reproduce", "--cluster", "absent.yaml"), "no cluster file absent.yaml"),
        (("status", "some-run"), "--host"),
        (("run", "reproduce", "--docker", "--network", "wifi"), "none, host, bridge"),
    ],
)
def test_wrong_input_is_a_one_line_error(dgunet, arguments, expected):
    result = dgunet("pipeline", *arguments)
    assert result.returncode == 1
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_compiling_outside_a_clone_is_refused(dgunet, home, monkeypatch):
    monkeypatch.setenv("DGUNET_HOME", str(home))
    result = dgunet("pipeline", "compile", "reproduce")
    assert result.returncode == 1
    assert "run in a clone" in result.stderr


def test_another_package_called_pipelines_is_refused(dgunet, project, monkeypatch, tmp_path):
    other = SimpleNamespace(__file__=str(tmp_path / "pipelines" / "__init__.py"))
    monkeypatch.setitem(sys.modules, "pipelines", other)
    result = dgunet("pipeline", "compile", "reproduce")
    assert result.returncode == 1
    assert f"{other.__file__}, not that of {project}" in result.stderr


def test_every_command_for_a_server_has_the_same_connection_options(dgunet):
    options = ("--host", "--namespace", "--token-file", "--cookie-file", "--ca-file", "--timeout")
    for command in ("submit", "status", "logs", "cancel"):
        text = dgunet("pipeline", command, "--help").stdout
        assert all(option in text for option in options), command


def test_versions_prints_the_pins_that_steps_check(dgunet):
    from dgunet.kubeflow.steps.code_pins import protocol_versions
    from dgunet.system.package_digest import code_version

    result = dgunet("pipeline", "versions").stdout
    assert code_version() in result and protocol_versions() in result


class PodsStandIn:
    """A stand-in for the Kubernetes client, with pods of a run as Argo names them."""

    def __init__(self):
        tasks = {"train": "Running", "prepare-2": "Succeeded"}
        self.pods = [self.pod(name, "impl", phase) for name, phase in tasks.items()]
        self.pods.append(self.pod("train", "driver", "Succeeded"))

    def pod(self, task, kind, phase):
        path = f"run-x.root.{task}.executor"
        metadata = SimpleNamespace(
            name=f"run-x-system-container-{kind}-{len(task)}",
            annotations={pod_logs.NODE: path},
            creation_timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        )
        return SimpleNamespace(metadata=metadata, status=SimpleNamespace(phase=phase))

    def list_namespaced_pod(self, namespace, label_selector, _request_timeout):
        mine = (namespace, label_selector) == ("team", "pipeline/runid=run-1")
        return SimpleNamespace(items=self.pods if mine else [])

    def read_namespaced_pod_log(self, name, namespace, container, _request_timeout):
        from kubernetes.client.exceptions import ApiException

        if name.endswith(str(len("prepare-2"))):
            raise ApiException(status=400, reason="Bad Request")
        assert (namespace, container) == ("team", "main")
        return "loss 0.5\nloss 0.4\n"


def test_logs_of_the_pods_of_a_run_from_a_stand_in():
    lines = list(pod_logs.read_logs(PodsStandIn(), "team", "run-1"))
    assert [line.split()[:2] for line in lines if line.startswith("==")] == [
        ["==", "train"],
        ["==", "prepare-2"],
    ]
    assert "loss 0.4" in lines
    assert "(no log yet: Succeeded)" in lines
    assert len(list(pod_logs.read_logs(PodsStandIn(), "team", "run-1", "train"))) == 3
    with pytest.raises(DgunetError, match="Pods are deleted some time after"):
        list(pod_logs.read_logs(PodsStandIn(), "other", "run-1"))
