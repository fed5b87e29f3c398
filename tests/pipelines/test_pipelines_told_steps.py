"""Every step of a local run is named by its dataset or network; a failed one with its cause."""

import json
from types import SimpleNamespace

import pytest
from kfp import dsl
from kfp.local import docker_task_handler, subprocess_task_handler

from dgunet.kubeflow import run_records
from dgunet.kubeflow.local import running, told_steps
from dgunet.kubeflow.pipeline.compiling import compile_to_yaml
from dgunet.kubeflow.run_records import StepEnd


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def evaluate_it(dataset: str, variant: str, ratio: int):
    """Be killed on one dataset, as by the kernel when memory runs out."""
    import os
    import signal

    print(f"restoring image 7 of {dataset}", flush=True)
    if dataset == "Rain100H":
        os.kill(os.getpid(), signal.SIGKILL)


@dsl.pipeline(name="looped")
def looped():
    with dsl.ParallelFor(["Rain100L", "Rain100H"], parallelism=2) as name:
        evaluate_it(dataset=name, variant="DGUNet+", ratio=10)


def test_a_killed_step_is_named_with_its_cause_and_last_line(home, monkeypatch):
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    asked, lines = running.LocalRun("looped", compile_to_yaml(looped), {}, set(), home), []
    with pytest.raises(
        running.RunFailedError,
        match=r"the run failed: evaluate-it of Rain100H, DGUNet\+, ratio 10: ended by SIGKILL, "
        r"most likely because memory ran out; its last line: restoring image 7 of Rain100H\.",
    ):
        running.run_locally(asked, progress=lines.append)
    (record,) = run_records.last(home, 1)
    told = run_records.status_text(home, record.run_id)
    for text in ("\n".join(lines), told):
        assert "SUCCESS  Rain100L, DGUNet+, ratio 10" in text
        assert "FAILURE  Rain100H, DGUNet+, ratio 10: ended by SIGKILL" in text


def command(function, /, **values):
    """The command of a step in kfp's form."""
    given = json.dumps({"inputs": {"parameterValues": values}})
    program = "import kfp\n\ndef python3(): pass"
    options = ["--executor_input", given, "--function_to_execute", function]
    return ["sh", "-ec", 'X=1 python3 -m kfp.x "$@"', program, *options]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (command("prepare", dataset="Rain13K", params="x"), ("prepare", "Rain13K")),
        (
            command("train", task="cs", variant="DGUNet", ratio=9.0),
            ("train", "cs, DGUNet, ratio 9"),
        ),
        (command("train_ablation", name="stages-9"), ("train-ablation", "stages-9")),
        (command("train_nodes", task="derain", ratio=0), ("train-nodes", "derain")),
        (
            command("train_nodes", task="derain", ablation="stages-5"),
            ("train-nodes", "stages-5, derain"),
        ),
        (
            command("evaluate_part", dataset="HIDE", variant="DGUNet", ratio=0, part="2/4"),
            ("evaluate-part", "HIDE, DGUNet, part 2/4"),
        ),
        (command("finish"), ("finish", "")),
        (["sh", "-ec", "true"], ("step", "")),
        (["--executor_input", "{damaged"], ("step", "")),
    ],
    ids=[
        "dataset",
        "network",
        "ablation",
        "no ratio",
        "ablation on nodes",
        "part",
        "nothing",
        "no options",
        "damaged",
    ],
)
def test_a_step_is_named_by_what_it_works_on(given, expected):
    assert told_steps.described(given) == expected


@pytest.mark.parametrize(
    ("status", "last", "error", "expected"),
    [
        (1, "more", "ValueError: no", "ValueError: no"),
        (127, "absent: not found", "", "absent: not found"),
        (3, "", "", "ended with status 3 without a line"),
        (137, "step 9", "ValueError: caught", "ended by SIGKILL, most likely because memory ran"),
        (
            -9,
            "step 9",
            "",
            "ended by SIGKILL, most likely because memory ran out; its last line",
        ),
        (143, "", "", "ended by SIGTERM"),
    ],
)
def test_the_cause_of_a_failure_is_the_most_specific(status, last, error, expected):
    assert told_steps.cause(status, last, error).startswith(expected)


@pytest.mark.parametrize(
    "end",
    [
        StepEnd("12:30:00", "evaluate", "FAILURE", "BSD68, DGUNet+", "KeyError: 'a]: b'"),
        StepEnd("12:30:00", "train", "FAILURE", "", "ended by SIGKILL"),
        StepEnd("12:30:00", "finish", "SUCCESS"),
    ],
    ids=["all", "no dataset", "success"],
)
def test_a_line_of_the_log_is_read_as_it_was_written(end):
    assert StepEnd.from_log(f"    {end.to_log()}\n") == end


def test_other_lines_are_no_ends_of_steps():
    assert StepEnd.from_log("12:00:00.1 - INFO - Task 'x' finished with status SUCCESS") is None


def test_a_step_in_a_container_is_named_too(monkeypatch, capsys):
    """kfp's own function runs, with an engine that has one container."""
    container = SimpleNamespace(
        logs=lambda stream: [b"Traceback\n", b"ValueError: no such thing\n"],
        wait=lambda: {"StatusCode": 1},
    )
    image = SimpleNamespace(tags=["i:1"], attrs={"RepoDigests": []})
    engine = SimpleNamespace(
        images=SimpleNamespace(list=lambda: [image]),
        containers=SimpleNamespace(run=lambda **_: container),
    )
    for module, names in (
        (docker_task_handler, ["run_docker_container"]),
        (subprocess_task_handler, ["run_local_subprocess", "replace_python_executable"]),
    ):  # restored after the test
        monkeypatch.setattr(module, "print", print, raising=False)
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    told_steps.tell_steps(warm=False)
    given = command("evaluate", dataset="Set11")
    docker_task_handler.run_docker_container(client=engine, image="i:1", command=given, volumes={})
    end = StepEnd.from_log(capsys.readouterr().out.splitlines()[-1])
    assert (end.name, end.about, end.cause) == ("evaluate", "Set11", "ValueError: no such thing")


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_only_the_script_names_the_interpreter(warm):
    given = command("prepare", source="/home/python3 -m x/data")
    made = told_steps.with_interpreter(given, "/it's a clone/python3", warm)
    client = " -m dgunet.cli.warm_client" if warm else ""
    assert made[2] == f"X=1 '/it'\"'\"'s a clone/python3'{client} -m kfp.x \"$@\""
    assert (made[:2], made[3:]) == (given[:2], given[3:])
