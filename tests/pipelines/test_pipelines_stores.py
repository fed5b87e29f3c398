"""Prepared stores between the steps of a pipeline: as artifacts, or in a folder on a volume."""

import json
import shutil
import threading
from functools import partial

import pytest

from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.kubeflow.steps import prepared_stores
from dgunet.kubeflow.steps.prepared_stores import (
    StoresFolder,
    find_store,
    prepare_shared,
    store_layout,
)
from dgunet.system.errors import DataError, DgunetError
from dgunet.system.seals import write_seal

NAME, VERSION = "Rain100L", ("source", "1", "code")


@pytest.fixture(autouse=True)
def _no_mlflow(monkeypatch, tmp_path):
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    monkeypatch.setenv("DGUNET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def volume(monkeypatch, tmp_path):
    """The folder for stores that all steps mount."""
    folder = tmp_path / "volume" / "stores"
    monkeypatch.setenv("DGUNET_STORES", str(folder))
    return folder


@pytest.fixture
def prepare(monkeypatch, store):
    """Prepare as the step does, with the store made once; counts the preparations."""
    made = []

    def prepare_store(profile, dataset, *, root, out, layout):
        made.append(out)
        shutil.copytree(store, out)
        return PairStore.open(out).manifest

    monkeypatch.setattr(prepared_stores, "prepare_store", prepare_store)
    call = partial(prepare_shared, "sample", NAME, root=None, version=VERSION)
    return lambda artifact: (call(artifact=artifact), made)


def test_without_a_folder_for_stores_the_artifact_is_the_store(sample_root, tmp_path, store):
    artifact = tmp_path / "store"
    prepare_shared("sample", NAME, root=sample_root, artifact=artifact, version=VERSION)
    assert find_store(artifact) == artifact
    assert files_of(artifact) == files_of(store)


def test_with_a_folder_for_stores_the_artifact_is_a_manifest(volume, sample_root, tmp_path, store):
    artifact = tmp_path / "store"
    manifest = prepare_shared("sample", NAME, root=sample_root, artifact=artifact, version=VERSION)
    assert {path.name for path in artifact.iterdir()} == {"manifest.json", "place.json"}
    assert sum(path.stat().st_size for path in artifact.iterdir()) < 10_000
    found = find_store(artifact)
    assert found.parent == volume and found.name.startswith(f"{NAME}-")
    assert files_of(found) == files_of(store), "the same bytes as without the folder"
    assert PairStore.open(found).manifest == manifest


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_runs_share_a_store(prepare, volume, tmp_path):
    for name in ("one", "two"):
        _, made = prepare(tmp_path / name)
    assert len(made) == 2, "the second one may not trust that the data are unchanged"
    assert find_store(tmp_path / "one") == find_store(tmp_path / "two")
    assert len(stores(volume)) == 1 and not list(volume.glob(".preparing/*/"))


def stores(volume):
    return [path for path in volume.iterdir() if not path.name.startswith(".")]


def test_preparations_at_the_same_time_do_not_mix(prepare, volume, tmp_path, monkeypatch):
    begun, go = threading.Event(), threading.Event()
    ready = prepared_stores.prepare_store

    def slow(*args, **options):
        begun.set()
        assert go.wait(30)
        return ready(*args, **options)

    monkeypatch.setattr(prepared_stores, "prepare_store", slow)
    waits = threading.Event()
    monkeypatch.setattr(prepared_stores.logger, "warning", lambda *_: waits.set())
    first, second = (
        threading.Thread(target=prepare, args=(tmp_path / name,)) for name in ("one", "two")
    )
    first.start()
    assert begun.wait(30)
    second.start()
    assert waits.wait(30)
    go.set()
    first.join()
    second.join()
    _, made = prepare(tmp_path / "three")
    assert len(made) == 2, "the second took the store for which it had waited"
    assert len({find_store(tmp_path / name) for name in ("one", "two", "three")}) == 1


def test_a_killed_preparation_leaves_no_store_and_the_next_one_completes(
    prepare, volume, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    ready = prepared_stores.prepare_store

    def dies(*args, out, **options):
        out.mkdir(parents=True)
        (out / "pairs-00000.arrow").write_bytes(b"half")
        raise Killed

    monkeypatch.setattr(prepared_stores, "prepare_store", dies)
    with pytest.raises(Killed):
        prepare(tmp_path / "one")
    assert stores(volume) == [] and not (tmp_path / "one").exists()

    def again(*args, out, **options):
        shutil.rmtree(out)
        return ready(*args, out=out, **options)

    monkeypatch.setattr(prepared_stores, "prepare_store", again)
    prepare(tmp_path / "two")
    assert find_store(tmp_path / "two") in stores(volume)


def test_without_locks_every_preparation_has_its_own_folder(prepare, volume, tmp_path, monkeypatch):
    def unsupported(self, timeout=-1):
        raise NotImplementedError

    monkeypatch.setattr(prepared_stores.FileLock, "acquire", unsupported)
    for name in ("one", "two"):
        _, made = prepare(tmp_path / name)
    assert len(set(made)) == 2
    assert find_store(tmp_path / "one") == find_store(tmp_path / "two")
    assert not list(volume.glob(".preparing/*/"))


def delete(volume, monkeypatch):
    shutil.rmtree(stores(volume)[0])


def unmount(volume, monkeypatch):
    shutil.rmtree(volume)


def forget(volume, monkeypatch):
    monkeypatch.delenv("DGUNET_STORES")


def damage(volume, monkeypatch):
    shard = next(stores(volume)[0].glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")


def replace(volume, monkeypatch):
    """Another store, whole in itself, under the name of the prepared one."""
    path = stores(volume)[0] / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    write_seal(path.parent)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (delete, r"the prepared Rain100L was deleted.*Prepare it again.*`cache: false`"),
        (unmount, r"no folder .*/volume/stores.*Set stores:"),
        (forget, r"this step has no folder for stores.*Set stores:"),
        (damage, r"pairs-00000\.arrow.*Prepare it again.*`cache: false`"),
        (replace, r"is not the Rain100L that was prepared.*Prepare it again"),
    ],
)
def test_an_unusable_store_is_refused_and_prepared_again(
    prepare, volume, tmp_path, monkeypatch, spoil, expected
):
    artifact = tmp_path / "store"
    prepare(artifact)
    find_store(artifact)
    spoil(volume, monkeypatch)
    with pytest.raises(DataError, match=expected) as refusal:
        find_store(artifact)
    assert len(str(refusal.value).splitlines()) == 1
    if spoil is not forget:
        prepare(tmp_path / "again")
        assert find_store(artifact).is_dir(), "the cached artifact is valid again"


def test_a_name_in_an_artifact_cannot_leave_the_folder_for_stores(prepare, volume, tmp_path):
    prepare(tmp_path / "store")
    (tmp_path / "store" / "place.json").write_text('{"store": "../elsewhere"}')
    with pytest.raises(DgunetError, match=r"place\.json"):
        find_store(tmp_path / "store")


def test_large_stores_are_compact_and_the_pixels_are_the_same(sample_root, tmp_path, store):
    assert store_layout("paper", "SIDD-train") == store_layout("paper", "Rain13K") == "compact"
    assert store_layout("paper", "BSD400") == store_layout("paper", "Rain100L") == "raw"
    assert store_layout("sample", "SIDD-train") == "raw"
    made = prepare_dataset(NAME, sample_root, tmp_path / "c", profile="sample", layout="compact")
    assert made.digest == PairStore.open(store).manifest.digest
    assert StoresFolder(tmp_path).place(tmp_path / "c") != StoresFolder(tmp_path).place(store)
