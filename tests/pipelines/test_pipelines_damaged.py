"""Damaged run records, cluster files, logs, tokens and results raise one-line errors."""

import json
import os

import pytest
import yaml

from dgunet.kubeflow import run_records
from dgunet.kubeflow.cluster.settings import load_cluster
from dgunet.kubeflow.local.expected_outputs import check_outputs
from dgunet.kubeflow.pipeline.arguments import _typed
from dgunet.kubeflow.pipeline.graph import pipeline_graph
from dgunet.kubeflow.submission.data_origin import public_address
from dgunet.kubeflow.submission.server import find_access
from dgunet.system.errors import ConfigError, DgunetError

WHOLE = {
    "run_id": "local-1",
    "pipeline": "small",
    "runner": "subprocess",
    "out": "",
    "started": 1.0,
    "pid": 0,
    "state": "FAILED",
    "ended": 2.0,
    "error": "no",
    "found": {},
}


def write_record(home, name, content):
    path = run_records.folder(home, name) / "run.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


DAMAGE = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"{" * 5_000,
    b'{"run_id": "local-2", "run_id": "local-3"}',
    {key: value for key, value in WHOLE.items() if key != "started"},
    WHOLE | {"pid": -1},
    WHOLE | {"pid": 1e300},
    WHOLE | {"pid": "7"},
    WHOLE | {"pid": True},
    WHOLE | {"started": float("nan")},
    WHOLE | {"ended": 1e300},
    WHOLE | {"state": "WELL"},
    WHOLE | {"found": {"tables": 7}},
    WHOLE | {"more": 7},
]


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_record_is_reported_and_others_are_still_listed(tmp_path, content):
    write_record(tmp_path, "local-1", WHOLE)
    path = write_record(tmp_path, "local-2", content)
    with pytest.raises(DgunetError) as refused:
        run_records.read(tmp_path, "local-2")
    assert str(path) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    listed = run_records.last(tmp_path, 10)
    assert [(r.run_id, r.shown_state) for r in listed] == [
        ("local-2", "DAMAGED"),
        ("local-1", "FAILED"),
    ]
    assert all(run_records.summary_line(record) for record in listed)


def test_a_named_pipe_as_a_record_is_refused_without_blocking(tmp_path):
    folder = run_records.folder(tmp_path, "local-2")
    folder.mkdir(parents=True)
    os.mkfifo(folder / "run.json")
    assert run_records.last(tmp_path, 1)[0].shown_state == "DAMAGED"


@pytest.mark.parametrize("name", ["local-../../x", "local-1/../local-1", "local-", "local-\0"])
def test_a_run_id_is_never_used_as_a_path(tmp_path, name):
    write_record(tmp_path, "local-1", WHOLE)
    with pytest.raises(ConfigError, match="no local run"):
        run_records.read(tmp_path, name)


def test_a_log_with_arbitrary_bytes_is_shown(tmp_path):
    write_record(tmp_path, "local-1", WHOLE)
    (run_records.folder(tmp_path, "local-1") / "log.txt").write_bytes(
        b"\xff\0 12:00:00.1 - INFO - a line of another program\n"
        b"[dgunet 12:00:01] work SUCCESS of [Set\xff11]\n"
    )
    assert "\n  12:00:01  work              SUCCESS  Set\ufffd11\n" in run_records.status_text(
        tmp_path, "local-1"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"image: caf\xe9", "line 1: byte 0xe9 is not UTF-8"),
        (b"[" * 5_000, "nested too deeply"),
        (b"image: a\nimage: b", "the key 'image' occurs twice"),
        (b"", "contains None, not a mapping"),
        (b"- 1", "contains [1], not a mapping"),
        (b"a: &a [*a]", "contains it"),
    ],
)
def test_an_invalid_cluster_file_is_a_one_line_error(tmp_path, content, expected):
    path = tmp_path / "cluster.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load_cluster(path)
    assert expected in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps.train.timeout", 10**12), ("steps.train.gpus", True), ("parallelism.sets", 10**9)],
)
def test_numbers_in_a_cluster_file_are_bounded(tmp_path, project, key, value):
    content = yaml.safe_load((project / "pipelines/cluster.yaml").read_text())
    *parents, last = key.split(".")
    at = content
    for parent in parents:
        at = at[parent]
    at[last] = value
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=f"{last} is {value}"):
        load_cluster(path)


@pytest.mark.parametrize("text", ["1_0", "٣", "1.0", "", "1e3", "9" * 30, "0x1"])
def test_integer_parameters_must_be_plain_decimal_numbers(text):
    with pytest.raises(ConfigError, match="not a whole number"):
        _typed("ratio", text, "NUMBER_INTEGER")


@pytest.mark.parametrize("url", ["http://[x", "https://host:port/x", "/a/folder", "file:///x", ""])
def test_an_address_unreachable_from_pods_is_refused(url):
    with pytest.raises(ConfigError, match="no pod can reach"):
        public_address(url)


def test_an_invalid_address_is_refused_without_its_password(monkeypatch):
    with pytest.raises(ConfigError) as refused:
        public_address("ftp://me:hunter2@host/x")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        find_access("ftp://me:hunter2@host/x")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("host", ["http://[x", "https://h:99999999", "ftp://h"])
def test_an_invalid_host_is_refused(host):
    with pytest.raises(ConfigError, match="is not an HTTP address"):
        find_access(host)


@pytest.mark.parametrize("content", [b"\xff", b"a\nb", "tökén".encode(), b"x" * 100_000])
def test_an_invalid_token_file_is_refused_without_its_content(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        find_access("https://h", token_file=tmp_path / "token")
    assert str(tmp_path / "token") in str(refused.value)
    assert "xxx" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"dataset": 1, "row": "x"}'])
def test_an_invalid_summary_fails_the_run(tmp_path, content):
    path = tmp_path / "evaluate/results/summary.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(DgunetError, match=r"summary\.json"):
        check_outputs(tmp_path, set())


def test_cyclic_dependencies_of_steps_are_refused(tmp_path):
    dag = {"tasks": {"a": {"dependentTasks": ["b"]}, "b": {"dependentTasks": ["a"]}}}
    with pytest.raises(DgunetError, match="wait for one another"):
        pipeline_graph({"pipelineInfo": {"name": "x"}, "root": {"dag": dag}, "components": {}})
