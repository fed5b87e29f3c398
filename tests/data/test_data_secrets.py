"""Passwords and tokens in data addresses never appear in messages, files or parameters."""

import json

import pytest

from dgunet.cli import main
from dgunet.system.address import redact
from dgunet.system.errors import ConfigError, DataError, DgunetError
from dgunet.tools.dvc_fetch import fetch_from_dvc, sets_in_dvc

TOKEN = "ghp-0123456789abcdef"


@pytest.mark.parametrize(
    "address",
    [
        f"https://{TOKEN}@127.0.0.1:9/lab/derain.git",
        f"https://me:{TOKEN}@127.0.0.1:9/lab/derain.git",
        f"https://me:{TOKEN}@[::1]:9/lab/derain.git",
    ],
)
def test_fetching_with_dvc_does_not_reveal_the_token(address, dgunet, tmp_path):
    done = dgunet("data", "fetch", "Set11", "--dvc", address, "--rev", "v1", "--root", tmp_path)
    assert done.returncode == 1
    assert "/lab/derain.git at v1" in done.stderr
    assert TOKEN not in done.stdout + done.stderr and "me:" not in done.stderr
    with pytest.raises(DataError) as failed:
        fetch_from_dvc("Set11", address, "v1", tmp_path)
    assert TOKEN not in str(failed.value) and failed.value.__suppress_context__
    with pytest.raises(DataError) as failed:
        sets_in_dvc(["Set11"], address, "v1")
    assert TOKEN not in str(failed.value) and failed.value.__suppress_context__


@pytest.mark.parametrize(
    "address",
    [
        f"http://me:{TOKEN}@127.0.0.1:9/Set11.zip",
        f"http://127.0.0.1:9/Set11.zip?X-Amz-Signature={TOKEN}",
        f"s3://bucket/Set11.zip?token={TOKEN}",
    ],
)
def test_fetching_does_not_reveal_the_token(address, dgunet, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key-for-tests")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{TOKEN}@127.0.0.1:9")
    folders = ("--root", tmp_path / "root", "--downloads", tmp_path / "downloads")
    done = dgunet("data", "fetch", "Set11", address, *folders)
    assert done.returncode == 1
    assert TOKEN not in done.stdout + done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and TOKEN in p.read_text()]


def test_credentials_and_queries_are_removed_from_shown_addresses():
    assert redact(f"https://me:{TOKEN}@host/a.zip?sig={TOKEN}#x") == "https://host/a.zip"
    assert redact("https://host/a b.zip") == "https://host/a b.zip"


def test_errors_of_the_package_contain_no_secret():
    error = DgunetError(f"https://me:{TOKEN}@h is away.", f"Ask https://h/?token={TOKEN}")
    reported = (str(error), repr(error), error.message, error.hint, json.dumps(error.args))
    assert not any(TOKEN in each for each in reported)


def test_a_debug_traceback_contains_no_secret(monkeypatch, capsys):
    def fail(**_):
        raise ValueError(f"https://me:{TOKEN}@h broke")

    monkeypatch.setattr("dgunet.cli.command", lambda *_: fail)
    monkeypatch.setenv("DGUNET_DEBUG", "1")
    with pytest.raises(SystemExit):
        main()
    reported = capsys.readouterr().err
    assert (
        "Traceback" in reported
        and "ValueError: https://h broke" in reported
        and TOKEN not in reported
    )


@pytest.mark.parametrize(
    "entry",
    [
        f"data_source=https://{TOKEN}@example.org/derain.git",
        f"data_source=https://me:{TOKEN}@example.org/derain.git",
        f"weights=https://example.org/w.pth?X-Amz-Signature={TOKEN}",
    ],
)
def test_a_pipeline_parameter_with_a_secret_is_refused(entry):
    from dgunet.kubeflow.pipeline.arguments import _refuse_secret

    name, _, value = entry.partition("=")
    with pytest.raises(ConfigError, match=f"{name} .* contains a password or token") as failed:
        _refuse_secret(name, value)
    assert TOKEN not in str(failed.value)


@pytest.mark.parametrize(
    "value",
    ["", "/a/folder", "ssh://git@example.org/x.git", "git@example.org:x.git", "s3://b/w.pth",
     "https://example.org/w.pth?download=1"],
)  # fmt: skip
def test_addresses_without_secrets_are_accepted_as_parameters(value):
    from dgunet.kubeflow.pipeline.arguments import _refuse_secret

    _refuse_secret("weights", value)


def test_a_pipeline_server_address_with_a_password_is_refused():
    from dgunet.kubeflow.submission.server import find_access

    with pytest.raises(ConfigError, match="contains a password") as failed:
        find_access(f"https://me:{TOKEN}@kubeflow.example.org/pipeline")
    assert TOKEN not in str(failed.value)
