"""A run whose prepared stores do not fit into their place is refused before it starts."""

from types import SimpleNamespace

import pytest
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from dgunet.costs.formats import size
from dgunet.costs.storage import prepared_bytes
from dgunet.kubeflow.cluster.settings import load_cluster
from dgunet.kubeflow.pipeline.arguments import networks
from dgunet.kubeflow.submission import claims, pod_logs
from dgunet.kubeflow.submission.run_storage import run_storage
from dgunet.kubeflow.submission.space import check_space, space_warning, stores_space
from dgunet.system.errors import ConfigError

TESTS = ("Rain100L", "Rain100H")


@pytest.fixture
def paper(project):
    """Arguments of `reproduce` in the profile `paper`, which trains."""
    text = (project / "params.yaml").read_text()
    return {
        "params": text.replace("profile: sample", "profile: paper"),
        "data_source": "https://example.org/x.git",
        "networks": networks(["DGUNet", "DGUNet+"]),
        "test_sets": [TESTS[0]],
        "ablations": ["stages-7"],
        "weights": "trained",
    }


@pytest.fixture
def file(project):
    """The documented cluster file, with other settings."""
    cluster = load_cluster(project / "pipelines" / "cluster.yaml")

    def changed(size=None, **settings):
        (volume,) = cluster.volumes
        volumes = [volume.model_copy(update={"size": size})]
        return cluster.model_copy(update={"volumes": volumes} | settings)

    return changed


def space_lines(cluster, arguments):
    """Lines and warnings of the plan."""
    storage = run_storage(cluster, arguments)
    return [*storage.lines(), *(f"warning: {each}" for each in storage.warnings)]


def needed(*more):
    """Bytes of the stores of `paper`: every training set once, the large ones compact."""
    compact = ("Rain13K", "GoPro-train", "SIDD-train")
    return sum(
        prepared_bytes(name, layout="compact" if name in compact else "raw")
        for name in {*compact, "BSD400", *TESTS, *more}
    )


def test_the_plan_states_the_stores_once_each_and_their_place(file, paper):
    on_volume = "\n".join(space_lines(file(size="500Gi"), paper))
    total = size(needed())
    place = "the claim dgunet-state (stores: /state/stores)"
    assert f"prepared stores in {place}: up to {total} (SIDD-train" in on_volume
    raw = prepared_bytes("SIDD-train")
    assert f"disk of one pod: up to about {size(raw)}, for SIDD-train: its photographs" in on_volume
    assert "warning" not in on_volume
    as_artifacts = "\n".join(
        space_lines(file(stores=None, trainer=None, artifact_store="1Ti"), paper)
    )
    assert f"prepared stores in Kubeflow's artifact store: up to {total} (" in as_artifacts
    both = raw + prepared_bytes("SIDD-train", layout="compact")
    assert f"up to about {size(both)}, for SIDD-train: the store, and its" in as_artifacts


def test_the_plan_counts_what_a_run_prepares(file, paper):
    released = stores_space(file(), paper | {"weights": "released"})
    assert released.total == prepared_bytes("Rain100L") + prepared_bytes("Rain100H")
    mounted = paper | {"data_source": "/data"}
    assert not any("disk of one pod" in line for line in space_lines(file("1Ti"), mounted))
    sample = paper | {"params": paper["params"].replace("profile: paper", "profile: sample")}
    assert stores_space(file("1Mi"), sample) is None and space_lines(file(), sample) == []


def test_a_small_claim_is_refused_with_its_size_and_the_mend(file, paper):
    parts = ("claim dgunet-state", r"only 20Gi \(size in the cluster file\)", "Enlarge the claim")
    with pytest.raises(ConfigError, match=".*".join(parts)) as refusal:
        check_space(stores_space(file("20Gi"), paper))
    assert f"take up to {size(needed())} (SIDD-train" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert "warning: the claim dgunet-state" in "\n".join(space_lines(file("20Gi"), paper))
    exact = str(needed())
    check_space(stores_space(file(exact), paper))
    with pytest.raises(ConfigError):
        check_space(stores_space(file(str(needed() - 1)), paper))


def test_the_size_of_a_claim_is_read_from_the_cluster_unless_it_is_stated(file, paper):
    asked = []

    def small(claim):
        asked.append(claim)
        return "10Gi"

    with pytest.raises(ConfigError, match=r"only 10Gi \(read from the cluster\)"):
        check_space(stores_space(file(), paper, small))
    check_space(stores_space(file("500Gi"), paper, small))
    assert asked == ["dgunet-state"]
    unknown = stores_space(file(), paper)
    check_space(unknown)
    assert "size of the claim dgunet-state is not known" in space_warning(unknown)


def test_stores_as_artifacts_are_compared_with_the_artifact_store(file, paper):
    unknown = stores_space(file(stores=None, trainer=None), paper)
    check_space(unknown)  # it may be a bucket
    assert "more than the 20Gi of the artifact store" in space_warning(unknown)
    few = stores_space(file(stores=None, trainer=None), paper | {"weights": "released"})
    assert space_warning(few) is None
    stated = stores_space(file(stores=None, trainer=None, artifact_store="20Gi"), paper)
    assert space_warning(stated) is None
    with pytest.raises(ConfigError, match=r"artifact store has only 20Gi \(artifact_store in"):
        check_space(stated)


def claim(capacity=None, requested=None):
    requests = SimpleNamespace(requests=requested)
    return SimpleNamespace(
        status=SimpleNamespace(capacity=capacity), spec=SimpleNamespace(resources=requests)
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (claim({"storage": "100Gi"}, {"storage": "50Gi"}), "100Gi"),
        (claim(None, {"storage": "50Gi"}), "50Gi"),
        (claim(), None),
        (ApiException(status=403), None),
        (ApiException(status=404), None),
        (HTTPError("no route"), None),
        (pod_logs.NoClusterError("no kubeconfig"), None),
    ],
)
def test_the_size_of_a_claim_from_a_stand_in(monkeypatch, answer, expected):
    def read(name, namespace, _request_timeout):
        assert (name, namespace) == ("dgunet-state", "team")
        if isinstance(answer, Exception):
            raise answer
        return answer

    api = SimpleNamespace(read_namespaced_persistent_volume_claim=read)
    monkeypatch.setattr(pod_logs, "connect", lambda: api)
    assert claims.claim_size("team", "dgunet-state") == expected
