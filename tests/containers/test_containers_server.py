"""The MLflow server of deploy/mlflow-server: its services, started, killed, saved and restored.

Without an image registry: ``make stand-ins`` and ``POSTGRES_IMAGE=stand-in/postgres:debian
S3_IMAGE=stand-in/seaweedfs:pypi make containers``.
"""

import json
import urllib.error
import urllib.request

import pandas as pd
import pytest
from containers_server import Services, documented

from dgunet.tracking import TrackingFolders, pending, start_run
from dgunet.tracking.server import mlflow_store

pytestmark = pytest.mark.timeout(1800)

HOST = "mlflow.example.org"
TAGS = {"stage": "evaluate", "profile": "sample"}
ASK = "import urllib.request as r; print(r.urlopen('{}', timeout=20).status)"
SEARCH = "/api/2.0/mlflow/experiments/search"


@pytest.fixture(scope="module")
def services(engine, tmp_path_factory):
    """The services, started with the commands of docs/mlflow.md."""
    made = Services(tmp_path_factory.mktemp("server"), HOST)
    start, _ = documented("A server for a group")
    skipped = ("make image", "cd deploy/mlflow-server")  # the fixture `engine`, and `made.run`
    commands = [line for line in start.splitlines() if not line.startswith(skipped)]
    try:
        made.run("\n".join(commands))
        made.wait()
        yield made
    finally:
        made.attempt("docker compose down --volumes --rmi local")
        made.attempt(f"docker image rm {made.project}:test")


@pytest.fixture
def home(services, tmp_path, monkeypatch):
    """A project that delivers to the server; it knows no password."""
    monkeypatch.setenv("DGUNET_HOME", str(tmp_path))
    monkeypatch.setenv("DGUNET_GIT_COMMIT", "0" * 40)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", services.uri)
    for name in ("DGUNET_TRACKING", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "params.yaml").write_text("profile: sample\n")
    return TrackingFolders(tmp_path)


def record(home, name):
    """Record and deliver a run with a table and a file of 20 MB; return its id."""
    (home.home / "weights.bin").write_bytes(bytes(range(250)) * 80_000)
    with start_run("dgunet/table-1", name, tags=TAGS, params={"stages": 7}) as run:
        run.log_metrics({"psnr": 31.5})
        run.log_table(pd.DataFrame({"id": ["a"], "psnr": [31.5]}), "per_image.json")
        run.log_artifact(home.home / "weights.bin")
    assert not pending(home)
    return run.run_id


def assert_complete(services, run_id, folder):
    """Read a recorded run back from the server, with its files."""
    client = mlflow_store.client(services.uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert (run.data.metrics["psnr"], run.data.params["stages"]) == (31.5, "7")
    folder.mkdir()
    for name in ("weights.bin", "per_image.json"):
        client.download_artifacts(run_id, name, str(folder))
    assert (folder / "weights.bin").read_bytes() == bytes(range(250)) * 80_000
    table = json.loads((folder / "per_image.json").read_text(encoding="utf-8"))
    assert table["data"] == [["a", 31.5]]


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "S3_SECRET_KEY"])
@pytest.mark.parametrize("line", ["", "{}=\n"], ids=["missing", "empty"])
def test_a_password_without_a_value_is_named(tmp_path, name, line):
    made = Services(tmp_path, HOST)
    others = {"POSTGRES_PASSWORD", "S3_SECRET_KEY"} - {name}
    text = "".join(f"{other}=x\n" for other in others) + line.format(name)
    (made.folder / ".env").write_text(text)
    done = made.attempt("docker compose up --detach")
    assert done.returncode
    assert f"{name} needs a value in .env; see .env.example" in done.stderr
    assert not made.attempt(f"docker ps --all --quiet --filter name={made.project}").stdout


def test_the_services_have_no_privileges(services):
    found = services.containers()
    users = {"mlflow": "1000", "postgres": "999", "s3": "1000"}
    assert set(found) == set(users)
    for service, facts in found.items():
        assert facts["HostConfig"]["ReadonlyRootfs"]
        processes = services.run(f"docker top {facts['Id']} -eo uid,pid,args").splitlines()[1:]
        assert {line.split()[0] for line in processes} == {users[service]}
        assert services.attempt(f"docker compose exec -T {service} touch /x").returncode
        status = services.run(f"docker compose exec -T {service} cat /proc/1/status").splitlines()
        assert {"CapEff:\t0000000000000000", "NoNewPrivs:\t1"} <= set(status)


def test_only_mlflow_is_published_and_only_on_loopback(services):
    found = services.containers()
    bindings = {name: facts["HostConfig"]["PortBindings"] for name, facts in found.items()}
    port = {"HostIp": "127.0.0.1", "HostPort": str(services.port)}
    assert bindings.pop("mlflow") == {"5000/tcp": [port]}
    assert not any(bindings.values())
    reach = "import socket; socket.create_connection(('{}', {}), 5)"
    outside = f"docker run --rm --network {services.project}_default dgunet:local python -c"
    inside = "docker compose run --rm --no-deps -T mlflow python -c"
    for name, number in (("s3", 8333), ("s3", 8888), ("postgres", 5432)):
        address = found[name]["NetworkSettings"]["Networks"][f"{services.project}_stores"]
        code = reach.format(address["IPAddress"], number)
        services.run(f'{inside} "{code}"')
        assert services.attempt(f'{outside} "{code}"').returncode


def test_passwords_are_in_no_log_label_or_command_line(services, home):
    record(home, "with passwords")
    logs = services.run("docker compose logs 2>&1")
    for facts in services.containers().values():
        logs += services.run(f"docker top {facts['Id']} -eo pid,args")
        logs += json.dumps(facts["Config"]["Labels"]) + json.dumps(facts["Args"])
    assert "mlflow server" in logs
    for name, value in services.secrets().items():
        assert value not in logs, name


def test_the_database_wants_its_password(services):
    command = 'docker compose run --rm --no-deps -T -e PGPASSWORD={} mlflow python -c "{}"'
    code = "import psycopg2; psycopg2.connect('host=postgres user=mlflow dbname=mlflow')"
    done = services.attempt(command.format("wrong", code))
    assert done.returncode and "password authentication failed" in done.stdout + done.stderr
    services.run(command.format(services.secrets()["POSTGRES_PASSWORD"], code))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:5000"}, 200),
        ({"Host": "mlflow:5000"}, 200),
        ({"Host": HOST}, 200),
        ({"Host": "attacker.example"}, 403),
        ({"Host": f"{HOST}.attacker.example"}, 403),
        ({"Host": HOST, "Origin": f"https://{HOST}"}, 200),
        ({"Origin": "https://attacker.example"}, 403),
    ],
    ids=["address", "localhost", "service", "public", "other", "longer", "page", "other-page"],
)
def test_hosts_and_origins_are_checked(services, headers, status):
    data, headers = b'{"max_results": 1}', {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(services.uri + SEARCH, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            found = answer.status
    except urllib.error.HTTPError as error:
        found = error.code
    assert found == status


def test_clients_are_not_sent_to_the_store(services):
    """Neither for downloads nor, from 500 MB on, for uploads: they could not reach it."""
    with urllib.request.urlopen(services.uri + "/api/3.0/mlflow/server-info") as answer:
        facts = json.load(answer)
    assert facts["multipart_downloads_enabled"] is facts["multipart_uploads_enabled"] is False


def test_containers_of_its_network_reach_it_by_name(services):
    code = ASK.format(f"http://mlflow:5000{SEARCH}?max_results=1")
    network = f"{services.project}_default"
    command = f'docker run --rm --network {network} dgunet:local python -c "{code}"'
    assert services.run(command).strip() == "200"


def test_runs_outlive_killed_and_restarted_services(services, home, tmp_path):
    before = record(home, "before")
    services.run("docker compose exec -T mlflow touch /tmp/half-an-upload")
    kill = "import os; os.kill(-1, 9)"
    services.attempt(f'docker compose exec -T mlflow python -c "{kill}"')
    services.wait(lambda found: found["mlflow"]["RestartCount"] == 1)
    assert services.attempt("docker compose exec -T mlflow ls /tmp/half-an-upload").returncode
    assert_complete(services, before, tmp_path / "killed")

    services.run("docker compose restart postgres")
    services.wait()
    assert_complete(services, before, tmp_path / "restarted")
    for facts in services.containers().values():  # as by a power failure
        services.run(f"docker kill {facts['Id']}")
    services.run("docker compose up --detach --wait")
    services.wait()
    assert_complete(services, before, tmp_path / "all killed")
    assert_complete(services, record(home, "after"), tmp_path / "after")


def test_down_keeps_the_data(services, home, tmp_path):
    kept = record(home, "kept")
    services.run("docker compose down")
    assert not services.containers()
    services.run("docker compose up --detach --wait")
    services.wait()
    assert_complete(services, kept, tmp_path / "kept")


def test_a_backup_is_restored_after_down_with_volumes(services, home, tmp_path):
    saved = record(home, "saved")
    save, restore = documented("Backup")
    services.run(save)
    services.wait()
    lost = record(home, "lost")
    services.run("docker compose down --volumes")
    services.run(restore)
    services.wait()
    assert_complete(services, saved, tmp_path / "saved")
    names = [run.info.run_id for run in _runs(services)]
    assert saved in names and lost not in names
    assert_complete(services, record(home, "later"), tmp_path / "later")


def test_the_upgrade_keeps_the_runs(services, home, tmp_path):
    """The commands of the upgrade; the database has the newest format already."""
    old = record(home, "old")
    (upgrade,) = documented("Upgrade")
    services.run(upgrade)
    services.wait()
    assert_complete(services, old, tmp_path / "upgraded")


def test_the_key_of_the_store_can_be_changed(services, home, tmp_path):
    old = record(home, "old key")
    former = services.secrets()["S3_SECRET_KEY"]
    (services.folder / ".env").write_text(
        (services.folder / ".env").read_text().replace(former, former[::-1])
    )
    services.run("docker compose up --detach --wait")
    services.wait()
    assert_complete(services, old, tmp_path / "new key")
    assert_complete(services, record(home, "new key"), tmp_path / "with new key")


def _runs(services):
    client = mlflow_store.client(services.uri)
    experiment = client.get_experiment_by_name("dgunet/table-1")
    return client.search_runs([experiment.experiment_id])
