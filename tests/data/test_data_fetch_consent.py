"""`dgunet data fetch NAME`: the plan, the consent, several names, and Ctrl-C."""

import io
import os
import pty
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from data_internet import internet

from dgunet.data.check.dataset_check import check_dataset

ID = "1P_-RAvltEoEhfT-9GrWRdpEi6NSswTs8"
SETS = ("Test100", "Test1200")


@pytest.fixture
def net(sample_root):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as handle:
        for name in SETS:
            for path in sorted((sample_root / "test" / name).rglob("*.*")):
                handle.write(path, f"test/{path.relative_to(sample_root / 'test')}")
    with internet() as net:
        net.drive[ID] = buffer.getvalue()
        yield net


@pytest.fixture
def own(net, tmp_path):
    """The file DGUNET_SOURCES: both sets are in one file on Google Drive."""
    place = {"kind": "google-drive-file", "id": ID, "stated_by": ["our README"]}
    return net.overlay(
        tmp_path / "own.yaml",
        places={"ours": place},
        datasets={name: {"places": ["ours"]} for name in SETS},
    )


@pytest.fixture
def fetch(dgunet, own, tmp_path, monkeypatch):
    """Run `dgunet data fetch` without a terminal."""
    monkeypatch.setenv("DGUNET_SOURCES", str(own))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    def run(*arguments):
        return dgunet("data", "fetch", *arguments, *folders(tmp_path))

    return run


def folders(tmp_path):
    return ["--root", str(tmp_path / "root"), "--downloads", str(tmp_path / "downloads")]


def command(own, tmp_path, *arguments):
    """The command as a process, with its environment."""
    line = [sys.executable, "-m", "dgunet", "data", "fetch", "Test100", *arguments]
    return [*line, *folders(tmp_path)], os.environ | {"DGUNET_SOURCES": str(own)}


def test_the_plan_is_shown_and_nobody_is_asked_without_a_terminal(fetch, net, tmp_path):
    done = fetch("Test100")
    assert done.returncode == 1
    for text in ("brings", "free in", "licence", "citation", "nobody states a digest"):
        assert text in done.stdout
    assert "stated by our README" in done.stdout
    assert "add --accept-licence, or set DGUNET_ACCEPT_LICENCE=Test100 (or all)" in done.stderr
    assert net.paths == []


@pytest.mark.parametrize("value", ["Test100", "SIDD, Test100", "all"])
def test_the_environment_can_accept(fetch, monkeypatch, tmp_path, value):
    monkeypatch.setenv("DGUNET_ACCEPT_LICENCE", value)
    done = fetch("Test100")
    assert done.returncode == 0, done.stderr
    assert check_dataset("Test100", tmp_path / "root").healthy
    assert "recorded in" in done.stdout


def test_another_name_in_the_environment_does_not_accept(fetch, monkeypatch, net):
    monkeypatch.setenv("DGUNET_ACCEPT_LICENCE", "Test100")
    done = fetch("Test100", "Test1200")
    assert done.returncode == 1
    assert "the licence of Test1200 has not been accepted" in done.stderr
    assert net.paths == []


def test_several_sets_of_one_archive_are_fetched_with_one_download(fetch, net, tmp_path):
    assert fetch("Test100", "--accept-licence").returncode == 0
    done = fetch("Test100", "Test1200", "--accept-licence")
    assert done.returncode == 0, done.stderr
    assert "is there already" in done.stdout
    assert all(check_dataset(name, tmp_path / "root").healthy for name in SETS)
    assert net.ranges == [None]


def test_names_and_addresses_are_not_mixed(fetch):
    done = fetch("Test100", "Test1200", "http://a.example.org/a.zip")
    assert done.returncode == 1
    assert "Test1200 is a dataset and http://a.example.org/a.zip is an address" in done.stderr
    assert "--sha256 needs the URL" in fetch("Test100", "--sha256", "0" * 64).stderr
    assert "--files needs URLs" in fetch("Test100", "--files").stderr
    assert "unknown dataset" in fetch("Rain100X").stderr


def test_an_own_address_needs_no_consent(fetch, net, tmp_path):
    net.web["/own.zip"] = net.drive[ID]
    done = fetch("Test100", f"{net.base}/own.zip")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("answer", "status"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_a_person_at_a_terminal_is_asked_once(net, own, tmp_path, answer, status):
    line, environment = command(own, tmp_path)
    leader, terminal = pty.openpty()
    process = subprocess.Popen(
        line, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    os.close(terminal)
    os.write(leader, answer)
    output, errors = process.communicate(timeout=120)
    os.close(leader)
    assert process.returncode == status, errors
    assert errors.count(b"Accept these terms and download? [y/N]") == 1
    assert b"licence" in output
    assert bool(net.paths) == (status == 0)
    if status:
        assert b"were not accepted; nothing was downloaded" in errors


def larger(archive):
    """The archive with three further megabytes in it."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as handle:
        handle.writestr("readme.txt", bytes(3_000_000))
    return buffer.getvalue()


def test_after_ctrl_c_the_same_command_continues(net, own, tmp_path):
    net.drive[ID] = larger(net.drive[ID])
    line, environment = command(own, tmp_path, "--accept-licence")
    net.pause = 0.2
    partial = tmp_path / "downloads" / "ours.archive.partial"
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    while process.poll() is None and not (partial.exists() and partial.stat().st_size > 300_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    size = partial.stat().st_size
    assert 300_000 < size < len(net.drive[ID])
    assert not (tmp_path / "root" / "test").exists()
    net.pause = 0.0
    done = subprocess.run(line, capture_output=True, env=environment, timeout=120)
    assert net.ranges == [None, f"bytes={size}-"]
    assert done.returncode == 0, done.stderr
    assert check_dataset("Test100", tmp_path / "root").healthy
