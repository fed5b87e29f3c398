"""The cluster file is checked field by field before anything is sent."""

import copy
from pathlib import Path

import pytest
import yaml

from dgunet.kubeflow.cluster.settings import Cluster, load_cluster
from dgunet.kubeflow.cluster.typed_yaml import checked
from dgunet.system.address import Address
from dgunet.system.errors import ConfigError
from dgunet.training.checkpoint_mirror import CheckpointMirror

FILE = Path(__file__).parents[2] / "pipelines" / "cluster.yaml"


@pytest.fixture
def content():
    return yaml.safe_load(FILE.read_text())


def test_the_documented_example_is_valid_and_steps_inherit_defaults(content):
    cluster = load_cluster(FILE)
    train = cluster.step("train")
    assert (train.gpus, train.shm, train.retries.count) == (8, "32Gi", 5)
    tables = cluster.step("tables")
    assert (tables.cpu, tables.gpus, tables.timeout) == ("2", None, 86400)
    assert cluster.step("finish").retries.count == 0


def test_the_examples_in_the_comments_are_valid(content):
    content["security"] = {"user": 1000, "group": 1000}
    content["checkpoints"] = "s3://bucket/prefix"
    content["labels"] = {"kueue.x-k8s.io/queue-name": "gpu"}
    content["volumes"].append({"claim": "datasets", "path": "/data", "sub_path": "paper"})
    content["artifact_store"] = "20Gi"
    content["parts"] = {"Test2800": 4, "HIDE": 2}
    assert checked(Cluster, content, "cluster.yaml").trainer.nodes == 1
    del content["trainer"]  # as its comment suggests without Kubeflow Trainer
    assert checked(Cluster, content, "cluster.yaml").stores_folder == "/state/stores"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("image", "dgunet:1", "a tag can move"),
        ("steps.train.gpu", 4, "steps.train.gpu is not a field (did you mean gpus?)"),
        ("steps.trian", {}, "steps.trian"),
        ("steps.train.gpus", "8", "steps.train.gpus is '8', allowed: a valid integer"),
        ("steps.train.memory", "128 GB", "steps.train.memory is '128 GB'"),
        ("steps.train.image", "dgunet:2", "a tag can move"),
        ("defaults.retries.count", 50, "defaults.retries.count is 50"),
        ("environment.AWS_SECRET_ACCESS_KEY", "hunter2", "give it under secrets"),
        (
            "environment.MLFLOW_TRACKING_URI",
            "http://me:hunter2@mlflow:5000",
            "give it under secrets",
        ),
        ("volumes.0.path", "state", "volumes[0].path is 'state'"),
        ("trainer", {"nodes": 2, "shared": "/elsewhere"}, "is not on one of the volumes"),
        ("trainer", {"nodes": 2, "shared": "/statement"}, "is not on one of the volumes"),
        ("stores", "/elsewhere", "stores '/elsewhere' is not on one of the volumes"),
        ("volumes.0.size", "500 GB", "volumes[0].size is '500 GB'"),
        ("environment.DGUNET_STORES", "/state/x", "give this folder as stores"),
        ("security", {"user": 0}, "security.user is 0, allowed: greater than 0"),
        ("checkpoints", "/state/checkpoints", "checkpoints is '/state/checkpoints'"),
        ("workspace", {"size": "1Gi"}, "workspace is not a field"),
        ("steps.train.tolerations.0.value", "x", "a value is not allowed with operator Exists"),
        ("parts", {"Test2800": 1}, "parts.Test2800 is 1, allowed: greater than or equal to 2"),
        ("parts", {"Test2800": "4"}, "parts.Test2800 is '4', allowed: a valid integer"),
        ("parts", {"Rain13K": 4}, "parts.Rain13K is not a test set, allowed: Test100, "),
        ("parts", {"Set11": 12}, "parts.Set11 is 12, but Set11 has 11 images"),
        ("parallelism.sets", 0, "parallelism.sets is 0, allowed: greater than 0"),
    ],
)
def test_a_wrong_field_is_refused_with_its_full_path(content, path, value, expected):
    wrong = copy.deepcopy(content)
    *parents, key = path.split(".")
    at = wrong
    for parent in parents:
        at = at[int(parent)] if isinstance(at, list) else at[parent]
    at[key] = value
    with pytest.raises(ConfigError) as refusal:
        checked(Cluster, wrong, "cluster.yaml")
    assert expected in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("home", "reason"),
    [
        (None, "which is not set"),
        ("/tmp/home", "which '/tmp/home' is not on one of the volumes"),
        ("/statement", "which '/statement' is not on one of the volumes"),
    ],
)
def test_parts_need_a_home_that_their_pods_share(content, home, reason):
    """The scores of a part are in DGUNET_HOME, which is otherwise on the disk of its pod."""
    content["parts"] = {"Test2800": 4}
    assert checked(Cluster, content, "cluster.yaml").parts == {"Test2800": 4}
    del content["environment"]["DGUNET_HOME"]
    if home:
        content["environment"]["DGUNET_HOME"] = home
    with pytest.raises(ConfigError) as refusal:
        checked(Cluster, content, "cluster.yaml")
    assert "parts needs environment.DGUNET_HOME on a volume" in str(refusal.value)
    assert reason in str(refusal.value)
    del content["parts"]
    assert checked(Cluster, content, "cluster.yaml").parts == {}


def test_stores_are_on_the_volume_that_is_mounted_nearest(content):
    content["volumes"].append({"claim": "fast", "path": "/state/stores"})
    cluster = checked(Cluster, content, "cluster.yaml")
    assert cluster.volume_of(cluster.stores_folder).claim == "fast"
    assert cluster.volume_of("/state/shared").claim == "dgunet-state"


def test_stores_are_where_trainjobs_have_them_unless_the_file_says_otherwise(content):
    content["trainer"] = {"nodes": 1, "shared": "/state/shared"}
    assert checked(Cluster, content, "x").stores_folder == "/state/stores"
    del content["stores"]
    assert checked(Cluster, content, "x").stores_folder == "/state/shared/stores"
    del content["trainer"]
    assert checked(Cluster, content, "x").stores_folder is None


def test_a_secret_value_is_not_shown_in_the_error(content):
    content["environment"]["MY_TOKEN"] = "hunter2"
    with pytest.raises(ConfigError) as refusal:
        checked(Cluster, content, "cluster.yaml")
    assert "hunter2" not in str(refusal.value)


def test_the_bucket_of_the_checkpoints_is_given_once_and_without_a_password(content):
    content["checkpoints"] = "s3://bucket/x"
    content["environment"]["DGUNET_CHECKPOINTS"] = "s3://other/x"
    with pytest.raises(ConfigError, match=r"environment\.DGUNET_CHECKPOINTS and checkpoints"):
        checked(Cluster, content, "cluster.yaml")
    del content["environment"]["DGUNET_CHECKPOINTS"]
    content["checkpoints"] = "s3://me:hunter2@bucket/x"
    with pytest.raises(ConfigError, match="give credentials under secrets") as refusal:
        checked(Cluster, content, "cluster.yaml")
    assert "hunter2" not in str(refusal.value)


def test_a_missing_cluster_file_is_refused_with_a_hint(tmp_path):
    with pytest.raises(ConfigError, match=r"Copy pipelines/cluster\.yaml"):
        load_cluster(tmp_path / "cluster.yaml")


@pytest.mark.parametrize(
    "address",
    [
        *("/a/folder", "s3://", "s3:///prefix", "https://bucket/prefix"),
        *("s3://me:hunter22@bucket/x", "s3://bucket/x?versionId=1", "s3://bucket/x#part"),
    ],
)
def test_an_invalid_address_is_refused_by_the_mirror_and_by_the_cluster_file(content, address):
    assert Address(address).bucket is None
    with pytest.raises(ConfigError, match="s3://BUCKET/PREFIX") as raised:
        CheckpointMirror(address, "x")
    assert "hunter22" not in str(raised.value)
    content["checkpoints"] = address
    with pytest.raises(ConfigError, match=r"checkpoints is .* allowed: s3://BUCKET/PREFIX"):
        checked(Cluster, content, "cluster.yaml")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("s3://runs", ("runs", "")),
        ("s3://runs/", ("runs", "")),
        ("s3://my.runs-1/some/where/", ("my.runs-1", "some/where")),
    ],
)
def test_a_bucket_and_its_prefix(address, place):
    assert Address(address).bucket == place
