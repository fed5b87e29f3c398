"""Local pipeline runs: a complete real one, and small ones that fail or are cancelled."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from kfp import dsl
from made_results import edit, write_result

from dgunet.kubeflow import run_records
from dgunet.kubeflow.cluster.settings import Cluster
from dgunet.kubeflow.local import containers, running
from dgunet.kubeflow.local.expected_outputs import OutputError, check_outputs
from dgunet.kubeflow.pipeline.compiling import compile_pipeline, compile_to_yaml
from dgunet.kubeflow.run_records import StepEnd
from dgunet.paper.formats import write_tables
from dgunet.paper.table_building import build_tables
from dgunet.system.errors import DgunetError
from pipelines import PIPELINES

WANTED = {("Rain100L", "DGUNet", 0), ("Set11", "DGUNet", 10)}


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def work(how: str, sign: str):
    """Fail, wait for ever, or do nothing."""
    import time
    from pathlib import Path

    print(f"asked to {how}")
    if how == "fail":
        raise ValueError("no such thing")
    while how == "wait":
        Path(sign).touch()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def small():
    """The IR of a pipeline with one step."""

    @dsl.pipeline(name="small")
    def pipeline(how: str, sign: str):
        work(how=how, sign=sign)

    return compile_to_yaml(pipeline)


@pytest.fixture
def job(small, home, tmp_path, monkeypatch):
    monkeypatch.setenv("DGUNET_TRACKING", "off")

    def make(how):
        arguments = {"how": how, "sign": str(tmp_path / "sign")}
        return running.LocalRun("small", small, arguments, set(), home)

    return make


@pytest.mark.slow
def test_a_real_pipeline_writes_tables_and_a_report(dgunet, project, tmp_path, monkeypatch):
    """One untrained network on one dataset, with every step except those for DND's server.

    Then the same with two pods for the dataset.
    """
    from dgunet.config import load_params
    from dgunet.network import DGUNet, preset, save_network

    home = tmp_path / "home"
    home.mkdir()
    for name in ("pipelines", "components", "params.yaml", "data.dvc", "records"):
        (home / name).symlink_to(project / name)
    monkeypatch.setenv("DGUNET_HOME", str(home))
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    monkeypatch.chdir(home)
    widths = load_params(home / "params.yaml").sample.network
    save_network(DGUNet(preset("derain", "DGUNet", **widths)), home / "own.safetensors", {})
    data = project / "data" / "sample"
    asked = ("-p", "weights=own.safetensors", "-p", "test_sets=Rain100L", "-p", "data_version=it")
    result = dgunet(
        *("pipeline", "run", "evaluate_checkpoint", *asked, "-p", f"data_source={data}")
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for step in ("survey", "load", "prepare", "evaluate", "tables", "report", "finish"):
        assert f"{step:17} SUCCESS" in result.stdout
    (record,) = run_records.last(home, 1)
    assert f"{record.run_id}: SUCCEEDED" in result.stdout
    cells = pd.read_parquet(f"{record.found['tables']}/cells.parquet")
    assert set(cells[cells["state"] == "sample"]["dataset"]) == {"Rain100L"}
    assert "report.html" in result.stdout

    listed = dgunet("pipeline", "status")
    assert record.run_id in listed.stdout and "SUCCEEDED" in listed.stdout
    assert "evaluate          SUCCESS" in dgunet("pipeline", "status", record.run_id).stdout
    assert "Executing task" in dgunet("pipeline", "logs", record.run_id).stdout
    over = dgunet("pipeline", "cancel", record.run_id)
    assert over.returncode == 1 and "has already ended: SUCCEEDED" in over.stderr

    lines = []
    divided = running.run_locally(with_parts(home, record), progress=lines.append)
    shown = "\n".join(lines)
    assert "Rain100L, DGUNet, part 1/2" in shown and "Rain100L, DGUNet, part 2/2" in shown
    assert not list((home / ".dgunet" / "evaluations").iterdir()), "the parts were merged"
    whole, merged = (results_of(each.out) for each in (record, divided))
    assert merged == whole and "per_image.parquet" in whole


def with_parts(home, record):
    """The run ``record`` again, on a cluster in which two pods share its test set."""
    cluster = Cluster(
        image=f"x@sha256:{'7' * 64}",
        environment={"DGUNET_HOME": str(home)},
        volumes=[{"claim": "state", "path": str(home)}],
        parts={"Rain100L": 2, "Test100": 2},
    )
    text = compile_pipeline(PIPELINES["evaluate_checkpoint"], cluster)
    path = run_records.folder(home, record.run_id) / "arguments.json"
    arguments = json.loads(path.read_text()) | {"image_digest": cluster.digest}
    return running.LocalRun(
        "evaluate_checkpoint", text, arguments, {("Rain100L", "DGUNet", 0)}, home
    )


def results_of(out):
    """The bytes of each file of the one result in a run's folder of artifacts, by its path."""
    (folder,) = (path for path in Path(out).rglob("results") if path.parent.name == "evaluate")
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_failed_step_is_reported_with_its_error_and_log(job):
    lines = []
    with pytest.raises(running.RunFailedError, match="ValueError: no such thing") as failure:
        running.run_locally(job("fail"), progress=lines.append)
    (record,) = run_records.last(job("fail").home, 1)
    assert (record.shown_state, record.lives) == ("FAILED", False)
    assert "work              FAILURE: ValueError: no such thing" in lines[-1]
    log = run_records.folder(job("fail").home, record.run_id) / "log.txt"
    assert str(log) in str(failure.value)
    assert "asked to fail" in log.read_text()


def test_a_run_without_outputs_fails(job):
    with pytest.raises(OutputError, match="contains 0 outputs tables/tables"):
        running.run_locally(job("nothing"), progress=lambda line: None)
    assert run_records.last(job("nothing").home, 1)[0].shown_state == "FAILED"


def test_an_interpreter_path_with_a_space_works(job, tmp_path, monkeypatch):
    """The runner puts the path into a shell script, where it must be quoted."""
    venv = tmp_path / "it's a clone" / ".venv"
    venv.parent.mkdir()
    venv.symlink_to(sys.prefix)
    monkeypatch.setattr(sys, "executable", str(venv / "bin" / "python"))
    assert "asked to nothing" in log_of_success(job("nothing"))


def log_of_success(asked):
    """The log of a run whose step succeeded."""
    with pytest.raises(OutputError, match="contains 0 outputs tables/tables"):
        running.run_locally(asked, progress=lambda line: None)
    (record,) = run_records.last(asked.home, 1)
    return (run_records.folder(asked.home, record.run_id) / "log.txt").read_text()


def test_the_name_of_the_interpreter_in_an_argument_stays(job, tmp_path):
    """A clone in ~/python3 or a setting may contain it: only the shell script names a program."""
    asked = job("look at ~/python3 -m projects")
    assert "asked to look at ~/python3 -m projects" in log_of_success(asked)


def test_the_error_of_a_step_is_reported_as_the_cause(tmp_path):
    error = "dgunet.system.errors.DataError: no folder /data. Mount the data"
    first = StepEnd("12:00:00", "prepare", "FAILURE", "Rain100L", error)
    other = StepEnd("12:00:01", "survey", "FAILURE", "derain", "another one")
    well = StepEnd("12:00:02", "finish", "SUCCESS")
    lines = [f"    {end.to_log()}" for end in (first, other, well)]
    (tmp_path / "log.txt").write_text("\n".join([*lines, "the run ended"]))
    assert running._cause_of_failure(tmp_path / "log.txt") == (
        f"prepare of Rain100L: {error}; 1 further step failed"
    )
    (tmp_path / "log.txt").write_text("the runner failed.")
    assert running._cause_of_failure(tmp_path / "log.txt") == "the runner failed"


def test_a_shell_error_is_reported_as_the_cause(job, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere:/usr/bin:/bin")
    real = running._execute

    def without_interpreter(asked, record, log, receive):
        text = (log.parent / "pipeline.yaml").read_text()
        (log.parent / "pipeline.yaml").write_text(text.replace("python3 -m kfp", "absent -m kfp"))
        return real(asked, record, log, receive)

    monkeypatch.setattr(running, "_execute", without_interpreter)
    with pytest.raises(running.RunFailedError, match=r"the run failed: work: absent: not found\."):
        running.run_locally(job("nothing"), progress=lambda line: None)


@pytest.mark.parametrize("folder", ["/dev/shm/absent", "/sys"])
def test_an_unusable_temporary_folder_is_refused_before_the_run(job, monkeypatch, folder):
    monkeypatch.setenv("TMPDIR", folder)
    with pytest.raises(DgunetError, match=f"the temporary folder {folder} has no space for 1 MiB"):
        running.run_locally(job("nothing"), progress=lambda line: None)
    assert not run_records.last(job("nothing").home, 1)


def test_a_full_temporary_folder_is_refused(job, monkeypatch, tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system to fill")
    try:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        with pytest.raises(
            DgunetError, match=r"has no space for 1 MiB \(No space left on device\)"
        ):
            running.run_locally(job("nothing"), progress=lambda line: None)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_cancel_leaves_no_process(job, tmp_path):
    asked = job("wait")

    def cancel():
        while not (tmp_path / "sign").exists():
            time.sleep(0.05)
        (record,) = run_records.last(asked.home, 1)
        assert record.shown_state == "RUNNING"
        run_records.cancel_run(asked.home, record.run_id)

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        running.run_locally(asked, progress=lambda line: None)
    (record,) = run_records.last(asked.home, 1)
    assert record.shown_state == "CANCELED"
    mine = psutil.Process().children(recursive=True)
    assert not [p for p in mine if "executor_main" in " ".join(p.cmdline())]
    sign = tmp_path / "sign"
    sign.unlink()
    time.sleep(0.3)
    assert not sign.exists()


IN_THE_BACKGROUND = """
import pathlib, sys
from dgunet.kubeflow.local import running
text, sign, home = sys.argv[1:]
arguments = {"how": "wait", "sign": sign}
job = running.LocalRun("small", open(text).read(), arguments, set(), pathlib.Path(home))
running.run_locally(job, progress=lambda line: None)
"""


def test_cancel_ends_a_run_that_ignores_ctrl_c(job, tmp_path):
    """A shell script starts what it runs with & with SIGINT ignored."""
    asked, sign = job("wait"), tmp_path / "sign"
    (tmp_path / "small.yaml").write_text(asked.text)
    python = [sys.executable, "-c", IN_THE_BACKGROUND, "small.yaml", str(sign), str(asked.home)]
    command = f"{shlex.join(python)} & wait $!"
    started = subprocess.Popen(["sh", "-c", command], cwd=tmp_path)
    try:
        while not sign.exists():
            assert started.poll() is None
            time.sleep(0.05)
        (record,) = run_records.last(asked.home, 1)
        os.kill(record.pid, signal.SIGINT)
        told = run_records.cancel_run(asked.home, record.run_id)
    finally:
        started.kill()
        started.wait()
    assert "has ended: CANCELED" in told
    assert run_records.last(asked.home, 1)[0].shown_state == "CANCELED"


def process_of_a_run(home, on_sigterm):
    """A process with the record of a run that does ``on_sigterm``; returns both."""
    code = f"import os, signal, sys, time\nsignal.signal(signal.SIGTERM, {on_sigterm})\n"
    code += "print(flush=True)\nwhile True: time.sleep(0.05)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    record = run_records.Record("local-1", "small", "subprocess", "", time.time(), process.pid)
    return process, run_records.save(home, record)


def test_cancel_says_that_a_run_has_not_ended_and_how_to_end_it(home):
    process, record = process_of_a_run(home, "signal.SIG_IGN")
    try:
        with pytest.raises(DgunetError, match=f"still runs 0 s .* kill -KILL -- {process.pid}$"):
            run_records.cancel_run(home, record.run_id, wait=0.2)
        assert run_records.read(home, record.run_id).lives
    finally:
        process.kill()
        process.wait()


def test_cancel_says_how_a_run_ended(home):
    process, record = process_of_a_run(home, "lambda *_: os._exit(0)")
    run_records.finish(home, record, run_records.SUCCEEDED)
    with pytest.raises(DgunetError, match="already ended: SUCCEEDED"):
        run_records.cancel_run(home, record.run_id)
    run_records.save(home, record)  # as a run whose end is recorded after it was asked to stop
    threading.Thread(target=process.wait, daemon=True).start()
    assert "without recording how: KILLED" in run_records.cancel_run(home, record.run_id)


def test_a_run_whose_process_was_killed_has_the_state_killed(home):
    gone = run_records.Record("local-1", "small", "subprocess", "", started=1.0, pid=os.getpid())
    run_records.save(home, gone)
    assert run_records.read(home, "local-1").shown_state == "KILLED"
    with pytest.raises(DgunetError, match="already ended: KILLED"):
        run_records.cancel_run(home, "local-1")


def test_an_unknown_local_run_is_refused_with_the_last_one(home):
    run_records.save(home, run_records.Record("local-1", "small", "subprocess", "", started=1.0))
    with pytest.raises(DgunetError, match="The last one is local-1"):
        run_records.read(home, "local-2")


@pytest.fixture
def left(tmp_path):
    """The outputs of a successful run with two evaluations."""
    run = tmp_path / "run"
    made = [
        write_result(run / "evaluate/results", "Rain100L"),
        write_result(run / "loop/evaluate/results/r10", "Set11", ratio=10),
    ]
    write_tables(build_tables(made, profile="sample"), run / "tables/tables")
    (run / "report").mkdir()
    (tmp_path / "run/report/page").write_text("<!doctype html><html>")
    return tmp_path / "run"


def test_outputs_of_numbered_tasks_are_found(left):
    """The second branch of a pipeline has the tasks evaluate-2, tables-2, report-2."""
    for name in ("evaluate", "loop/evaluate", "tables", "report"):
        (left / name).rename(left / f"{name}-2")
    found = check_outputs(left, WANTED)
    assert found["report"] == str(left / "report-2" / "page")


def test_complete_outputs_are_accepted(left):
    found = check_outputs(left, WANTED)
    assert found["tables"] == str(left / "tables" / "tables")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda left: shutil.rmtree(left / "evaluate/results"), "DGUNet on Rain100L"),
        (
            lambda left: shutil.rmtree(left / "loop/evaluate/results/r10"),
            "DGUNet on Set11 at 10 %",
        ),
        (lambda left: (left / "report/page").write_text("oops"), "is not an HTML page"),
        (lambda left: (left / "report/page").unlink(), "contains 0 outputs report/page"),
        (
            lambda left: write_tables(build_tables([], profile="sample"), left / "tables/tables"),
            "no cell for DGUNet on (Rain100L|Set11)",
        ),
    ],
)
def test_incomplete_outputs_are_refused(left, spoil, expected):
    spoil(left)
    with pytest.raises(OutputError, match=expected):
        check_outputs(left, WANTED)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda left: edit(left / "evaluate/results/summary.json", psnr=99.0), "psnr is 99"),
        (lambda left: (left / "evaluate/results/summary.json").unlink(), "summary.json is missing"),
        (lambda left: (left / "tables/tables/table1.md").write_text("99"), "table1.md has the SHA"),
    ],
)
def test_edited_outputs_are_refused(left, spoil, expected):
    spoil(left)
    with pytest.raises(DgunetError, match=expected):
        check_outputs(left, WANTED)


def test_containers_get_the_data_read_only_and_no_network(home, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    made = containers.container_settings(
        home,
        tmp_path / "out",
        {"data_source": str(data), "weights": ""},
        run_id="local-1",
        digest="sha256:1",
        environment={"DGUNET_CAMPAIGN": "local-1"},
    )
    assert made["network_mode"] == "none"
    assert (str(data), str(data), True) in made["mounts"]
    assert made["environment"]["DGUNET_IMAGE_DIGEST"] == "sha256:1"
    assert made["user"] != "0:0"
    json.dumps(made)


def test_a_dvc_repository_is_mounted_read_only_except_its_scratch_folder(home, tmp_path):
    (tmp_path / "r" / ".dvc").mkdir(parents=True)
    asked = {"data_source": f"file://{tmp_path / 'r'}"}
    made = containers.container_settings(
        home, tmp_path / "out", asked, run_id="", digest="", environment={}
    )
    writable = {target for target, _, read_only in made["mounts"] if not read_only}
    assert writable == {"/state/.dgunet", str(tmp_path / "r" / ".dvc" / "tmp")}
    own = tmp_path / "out" / containers.DVC_SCRATCH
    assert own.is_dir() and (tmp_path / "r" / ".dvc" / "tmp").is_dir(), (
        "otherwise Docker creates them as root"
    )


def test_containers_without_a_network_cannot_fetch(home, tmp_path):
    asked = {"data_source": "https://git.example.org/lab/dgunet.git"}
    with pytest.raises(DgunetError, match="--network bridge"):
        containers.container_settings(home, tmp_path, asked, run_id="", digest="", environment={})


def test_containers_that_download_weights_need_a_network_and_see_the_sources(home, tmp_path):
    own = str(tmp_path / "own.yaml")
    asked = {"data_source": str(tmp_path), "weights": "released"}
    variables = {"DGUNET_SOURCES": own, "DGUNET_ACCEPT_LICENCE": "all"}
    fixed = {"run_id": "", "digest": "", "environment": variables}
    with pytest.raises(DgunetError, match=r"weights is released, .* --network bridge"):
        containers.container_settings(home, tmp_path, asked, **fixed)
    made = containers.container_settings(home, tmp_path, asked, **fixed, network="bridge")
    assert (own, own, True) in made["mounts"]
    assert made["environment"].items() >= variables.items()


def test_steps_that_download_get_the_sources_as_an_absolute_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGUNET_SOURCES", "own.yaml")
    monkeypatch.setenv("DGUNET_ACCEPT_LICENCE", "DGUNet-cs, DGUNet")
    assert running._variables_of_steps({"weights": "trained"}) == {}
    assert running._variables_of_steps({"weights": "released"}) == {
        "DGUNET_SOURCES": str(tmp_path / "own.yaml"),
        "DGUNET_ACCEPT_LICENCE": "DGUNet,DGUNet-cs",
    }


def test_steps_get_the_folder_for_stores_as_an_absolute_path_and_containers_can_write_it(
    home, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGUNET_STORES", "stores")
    variables = running._variables_of_steps({"weights": "trained"})
    stores = str(tmp_path / "stores")
    assert variables == {"DGUNET_STORES": stores}
    made = containers.container_settings(
        home, tmp_path / "out", {}, run_id="", digest="", environment=variables
    )
    assert (stores, stores, False) in made["mounts"] and Path(stores).is_dir()
    assert made["environment"]["DGUNET_STORES"] == stores


def test_a_missing_docker_engine_is_a_one_line_error(dgunet, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    result = dgunet("pipeline", "run", "ablations", "--docker")
    assert result.returncode == 1
    assert "no Docker engine responds" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
