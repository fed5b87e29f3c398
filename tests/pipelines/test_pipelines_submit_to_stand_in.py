"""Submit, inspect and cancel runs against a stand-in for the pipelines API."""

import json
from datetime import UTC, datetime, timedelta

import kfp_server_api as api
import pytest

from dgunet.kubeflow.submission import pod_logs, submitting

SOURCE = "data_source=https://git.example.org/lab/dgunet.git"
DATA = ("-p", SOURCE, "-p", f"data_version={'c' * 40}")


@pytest.fixture
def submit(dgunet, cluster_file, stand_in, compiled_once):
    """Submit `evaluate_checkpoint` with all required parameters."""

    def call(*more, host=None):
        weights = ("-p", "weights=s3://models/derain.pth", "-p", f"weights_sha256={'a' * 64}")
        target = ("--host", host or stand_in.host, "--cluster", cluster_file)
        return dgunet("pipeline", "submit", "evaluate_checkpoint", *target, *DATA, *weights, *more)

    return call


def one_line(result, *parts):
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


def test_submit_uploads_creates_the_experiment_and_prints_the_url(submit, stand_in):
    result = submit("--experiment", "nightly", "--name", "first")
    assert result.returncode == 0, result.stderr
    (run,) = stand_in.runs
    assert f"{stand_in.host}/#/runs/details/{run.run_id}" in result.stdout
    assert [e.display_name for e in stand_in.experiments] == ["nightly"]
    assert run.experiment_id == stand_in.experiments[0].experiment_id
    assert (run.display_name, run.service_account) == ("first", "pipeline-runner")
    given = run.runtime_config.parameters
    assert given["test_sets"] == ["Test100", "Rain100H", "Rain100L", "Test2800", "Test1200"]
    assert given["image_digest"] == "sha256:" + "7" * 64
    assert "profile: sample" in given["params"]


def test_stores_that_do_not_fit_are_refused_before_anything_is_sent(
    submit, stand_in, cluster_file, project, tmp_path
):
    paper = tmp_path / "paper.yaml"
    text = (project / "params.yaml").read_text()
    paper.write_text(text.replace("profile: sample", "profile: paper"))
    cluster_file.write_text(cluster_file.read_text().replace("size: 500Gi", "size: 1Gi"))
    refused = submit("--params", paper)
    one_line(refused, "the claim dgunet-state", "has only 1Gi", "Test2800", "Enlarge the claim")
    assert not stand_in.runs and not stand_in.pipelines
    assert "has only 1Gi" in submit("--params", paper, "--dry-run").stdout


def test_equal_content_reuses_the_version_and_changed_content_creates_one(
    submit, stand_in, cluster_file
):
    assert "uploaded" in submit().stdout
    assert "already exists" in submit().stdout
    assert len(stand_in.versions) == 1 and len(stand_in.runs) == 2
    cluster_file.write_text(cluster_file.read_text().replace("memory: 8Gi", "memory: 9Gi"))
    assert "uploaded" in submit().stdout
    assert len(stand_in.versions) == 2 and len(stand_in.pipelines) == 1
    assert {run.pipeline_version_reference.pipeline_version_id for run in stand_in.runs} == {
        version.pipeline_version_id for version in stand_in.versions
    }


def test_a_valid_token_is_accepted_and_an_expired_one_is_a_one_line_error(
    submit, stand_in, tmp_path, monkeypatch
):
    stand_in.token = "fresh"
    (tmp_path / "token").write_text("fresh\n")
    assert submit("--token-file", tmp_path / "token").returncode == 0
    monkeypatch.setenv("DGUNET_KFP_TOKEN", "stale")
    result = submit()
    one_line(result, "401", "the token is expired", "renew the credentials (sent: the token")
    assert "stale" not in result.stderr


def test_a_cookie_is_accepted(submit, stand_in, monkeypatch):
    stand_in.cookie = "authservice_session=abc"
    one_line(submit(), "401", "no credentials")
    monkeypatch.setenv("DGUNET_KFP_COOKIE", "authservice_session=abc")
    assert submit().returncode == 0


def test_the_pod_s_token_is_accepted_and_reread(submit, stand_in, tmp_path, monkeypatch):
    own = tmp_path / "projected"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(own))
    for token in ("first", "renewed"):
        own.write_text(token)
        stand_in.token = token
        assert submit().returncode == 0


def test_a_missing_permission_is_reported_with_the_namespace(submit, stand_in):
    stand_in.broken["GET", "/experiments"] = (403, "User 'me' is not authorized")
    one_line(submit("--namespace", "team"), "403", "namespace team", "not authorized")


def test_a_multi_user_server_requires_a_namespace(submit, stand_in):
    stand_in.multi_user = True
    one_line(submit(), "--namespace NAME")
    assert submit("--namespace", "team").returncode == 0
    assert stand_in.experiments[0].namespace == "team"


def test_an_unreachable_host_is_a_one_line_error(submit):
    one_line(submit(host="http://127.0.0.1:9"), "cannot be reached", "Check --host")


def test_an_unresolvable_host_is_a_one_line_error(submit):
    one_line(submit(host="https://no-such-host.invalid"), "cannot be reached", "Check --host")


def test_a_login_page_is_a_one_line_error(submit, stand_in):
    one_line(submit(host=f"{stand_in.host}/sign-in"), "text/html", "/pipeline")


def test_an_invalid_host_is_a_one_line_error(submit):
    one_line(submit(host="ftp://example.org"), "is not an HTTP address")


def test_credentials_are_not_sent_unencrypted(submit, monkeypatch):
    monkeypatch.setenv("DGUNET_KFP_TOKEN", "secret")
    one_line(submit(host="http://kubeflow.example.org"), "unencrypted", "https")


def test_a_pipeline_name_owned_by_another_user_is_refused(submit, stand_in):
    name = "dgunet-evaluate-checkpoint"
    stand_in.pipelines.append(api.V2beta1Pipeline(pipeline_id="theirs", display_name=name))
    stand_in.hidden.add(name)
    one_line(submit(), name, "--pipeline-name")
    assert submit("--pipeline-name", "mine").returncode == 0


def test_a_version_uploaded_concurrently_is_used(submit, stand_in, monkeypatch):
    submit()
    look, answers = submitting._find_version, iter([None])
    monkeypatch.setattr(submitting, "_find_version", lambda *given: next(answers, look(*given)))
    assert "already exists" in submit().stdout
    assert len(stand_in.versions) == 1


def test_an_archived_experiment_is_refused_before_a_run(submit, stand_in):
    stand_in.experiments.append(
        api.V2beta1Experiment(experiment_id="old", display_name="dgunet", storage_state="ARCHIVED")
    )
    one_line(submit(), "archived", "--experiment")
    assert not stand_in.runs


def test_a_server_error_is_one_line_and_not_retried(submit, stand_in):
    stand_in.broken["POST", "/runs"] = (500, "database is locked")
    one_line(submit(), "500", "database is locked", "ml-pipeline")
    assert stand_in.asked.count(("POST", "/runs")) == 1  # nothing is started twice


def test_a_request_that_timed_out_is_not_repeated(submit, stand_in):
    stand_in.slow["/runs"] = 5
    one_line(submit("--timeout", 3), "within 3 s", "check before you try again")
    assert stand_in.asked.count(("POST", "/runs")) == 1


def test_the_image_of_the_example_is_refused(submit, cluster_file):
    cluster_file.write_text(cluster_file.read_text().replace("7" * 64, "0" * 64))
    one_line(submit(), "is the placeholder", "docker push")


def test_the_dry_run_prints_the_plan_without_any_request(submit, stand_in):
    result = submit("--dry-run", "--tflops", 20)
    assert result.returncode == 0, result.stderr
    for part in ("for all outputs of survey", "sha256:" + "7" * 64, "64Gi", "training: none"):
        assert part in result.stdout
    assert "GPUs at a time: at most 2" in result.stdout
    assert not stand_in.asked


@pytest.fixture
def task():
    def make(name, state, error=None, start=0):
        begin = datetime.now(UTC) - timedelta(minutes=10 - start)
        return api.V2beta1PipelineTaskDetail(
            display_name=name,
            state=state,
            start_time=begin,
            end_time=begin + timedelta(seconds=90) if state != "RUNNING" else None,
            error=api.GoogleRpcStatus(code=13, message=error) if error else None,
        )

    return make


@pytest.fixture
def running(submit, stand_in, task):
    assert submit().returncode == 0
    (run,) = stand_in.runs
    run.run_details = api.V2beta1RunDetails(
        task_details=[
            task("evaluate-driver", "SUCCEEDED", start=2),
            task("train: network", "FAILED", "OOMKilled:\nexit 137", start=3),
            task("prepare-2", "SUCCEEDED", start=1),
        ]
    )
    return run


def test_status_lists_the_tasks_in_order(dgunet, stand_in, running):
    result = dgunet("pipeline", "status", running.run_id, "--host", stand_in.host)
    assert result.returncode == 0, result.stderr
    tasks = [line.split()[:2] for line in result.stdout.splitlines() if "0:01:30" in line]
    assert tasks == [["prepare-2", "SUCCEEDED"], ["train:", "network"]]
    assert "train: network: OOMKilled: exit 137" in result.stdout
    assert f"/#/runs/details/{running.run_id}" in result.stdout


def test_status_of_an_unknown_run_is_a_one_line_error(dgunet, stand_in):
    one_line(dgunet("pipeline", "status", "nope", "--host", stand_in.host), "has no run nope")


def test_logs_without_a_kubeconfig_print_the_errors_of_the_api(
    dgunet, stand_in, running, monkeypatch
):
    def nowhere(context):
        raise pod_logs.NoClusterError("no valid kubeconfig.")

    monkeypatch.setattr(pod_logs, "connect", nowhere)
    result = dgunet("pipeline", "logs", running.run_id, "--step", "train", "--host", stand_in.host)
    assert result.returncode == 0
    assert "OOMKilled" in result.stdout
    assert "no valid kubeconfig" in result.stderr


def test_cancel_terminates_once(dgunet, stand_in, running):
    result = dgunet("pipeline", "cancel", running.run_id, "--host", stand_in.host)
    assert result.returncode == 0, result.stderr
    assert running.state == "CANCELING"
    running.state = "CANCELED"
    one_line(
        dgunet("pipeline", "cancel", running.run_id, "--host", stand_in.host), "has already ended"
    )


def test_parameters_are_sent_with_their_declared_types(submit, stand_in):
    submit("-p", "task=cs", "-p", "ratio=10", "-p", 'test_sets=["Set11"]')
    given = stand_in.runs[0].runtime_config.parameters
    assert (given["ratio"], given["test_sets"]) == (10, ["Set11"])
    json.dumps(given)
