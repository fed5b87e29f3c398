"""Fetching without an address, from local servers that behave as the real ones do."""

import io
import json
import shutil
import zipfile

import pytest
from data_internet import LOGIN, QUOTA, internet

from dgunet.data.acquisition import remotes
from dgunet.data.acquisition.fetch_plan import plan_fetch
from dgunet.data.acquisition.known_sources import fetch_known
from dgunet.data.check.dataset_check import check_dataset
from dgunet.system.errors import DataError
from dgunet.system.files import sha256_bytes

ID = "1P_-RAvltEoEhfT-9GrWRdpEi6NSswTs8"
OTHER = "1H6kigSTD0mucIoXOhpXZn3UqYytpS4TX"
SETS = ("Test100", "Test1200")


@pytest.fixture(scope="module")
def archive(sample_root):
    """An archive of two rain test sets in the tree of the real one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as handle:
        for name in SETS:
            for path in sorted((sample_root / "test" / name).rglob("*.*")):
                handle.write(path, f"test/{path.relative_to(sample_root / 'test')}")
    return buffer.getvalue()


@pytest.fixture
def net(archive):
    with internet() as net:
        net.drive[ID] = archive
        yield net


@pytest.fixture
def fetch(net, tmp_path, monkeypatch):
    """Fetch from places that the test gives; without any, from one Google Drive file."""

    def run(*places, name="Test100", consent=lambda plan: True, **options):
        named = {f"place-{n}": place for n, place in enumerate(places or (drive(),))}
        path = net.overlay(
            tmp_path / "own.yaml",
            places=named,
            datasets={one: {"places": list(named)} for one in (*SETS, name)},
        )
        monkeypatch.setenv("DGUNET_SOURCES", str(path))
        folders = (tmp_path / "root", tmp_path / "downloads")
        return fetch_known(name, *folders, consent=consent, **options)

    return run


def drive(identifier=ID, **more):
    return {"kind": "google-drive-file", "id": identifier, "stated_by": ["us"], **more}


def http(net, path, content, **more):
    net.web[path] = content
    return {"kind": "http", "url": net.base + path, "stated_by": ["us"], **more}


def digest(content):
    return {"bytes": len(content), "sha256": sha256_bytes(content), "digest_by": "our README"}


def left(tmp_path):
    folder = tmp_path / "downloads"
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


# Google Drive.


def test_a_large_file_is_confirmed_and_comes_from_the_other_host(fetch, net, tmp_path, archive):
    fetched = fetch()
    assert check_dataset("Test100", tmp_path / "root").healthy
    assert fetched.sha256 == sha256_bytes(archive)
    assert [path.partition("?")[0] for path in net.paths] == ["/uc", "/download", "/download"]
    assert "confirm=t" in net.paths[-1]
    lines = "\n".join(fetched.lines())
    assert "not verified: nobody states a digest" in lines
    assert "uuid" not in lines


def test_a_small_file_comes_without_confirmation(fetch, net):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as handle:
        handle.writestr("readme.txt", "nothing")
    net.drive[ID] = buffer.getvalue()
    with pytest.raises(DataError, match="does not hold Test100"):
        fetch()
    assert [path.partition("?")[0] for path in net.paths] == ["/uc", "/download"]


def test_a_cut_download_is_confirmed_again_and_resumed(fetch, net, archive, tmp_path):
    net.cut = [50_000, 0]
    with pytest.raises(DataError, match="Run the same command again to continue"):
        fetch(drive(**digest(archive)))
    assert left(tmp_path) == ["place-0.archive.partial", "place-0.archive.partial.json"]
    net.cut = [10_000]
    fetched = fetch(drive(**digest(archive)))
    assert net.ranges == [None, "bytes=50000-", "bytes=50000-", "bytes=60000-"]
    assert "SHA-256 stated by our README" in fetched.verified


def test_a_file_that_changes_between_two_runs_is_not_mixed(fetch, net, archive):
    net.drive[ID], net.cut = bytes(len(archive)), [50_000, 0]
    with pytest.raises(DataError):
        fetch()
    net.drive[ID], net.etag = archive, '"v2"'
    assert fetch().sha256 == sha256_bytes(archive)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (QUOTA, "its download quota is used up ('Google Drive - Quota exceeded')"),
        (LOGIN, "asks for a login ('Sign in - Google Accounts')"),
        ("<html><title>Sorry</title></html>", "sent a web page ('Sorry')"),
        (None, "404"),
    ],
)
def test_a_page_instead_of_the_file_is_told_with_the_way_by_hand(
    fetch, net, tmp_path, page, reason
):
    net.drive[ID] = page
    notes = []
    hand = {"kind": "page", "url": "https://a.example.org/x", "how": "log in", "stated_by": ["us"]}
    with pytest.raises(DataError) as refused:
        fetch(drive(), hand, note=notes.append)
    assert reason in refused.value.message
    assert "https://a.example.org/x (log in)" in refused.value.hint
    assert "dgunet data import Test100" in refused.value.hint
    assert notes[-1].startswith("refused: place-0")
    assert left(tmp_path) == []
    assert not (tmp_path / "root").exists()


def test_a_redirect_to_the_login_page_is_told(fetch, net):
    net.login.add(ID)
    with pytest.raises(DataError, match="asks for a login"):
        fetch()


# Mirrors of all kinds.


def test_every_hostile_mirror_is_named_and_the_next_one_is_tried(fetch, net, archive, tmp_path):
    net.types["/html.zip"] = "application/zip"
    net.drive[OTHER] = QUOTA
    changed = archive[:-1] + b"x"
    notes = []
    fetched = fetch(
        {"kind": "http", "url": "http://no-such-host.invalid/a.zip", "stated_by": ["us"]},
        http(net, "/gone.zip", None),
        http(net, "/html.zip", b"  <!DOCTYPE HTML><title>Moved &amp; gone</title>" + bytes(5000)),
        drive(OTHER),
        http(net, "/changed.zip", changed, **digest(archive)),
        http(net, "/longer.zip", archive + b"x", **digest(archive)),
        http(net, "/md5.zip", archive, md5="0" * 32, digest_by="somebody"),
        http(net, "/no.zip", b"no archive" * 500),
        {"kind": "hugging-face", "repository": "datasets/a/b", "file": "test.zip", "stated_by": []}
        | {"stated_by": ["us"]},
        drive(**digest(archive)),
        note=notes.append,
    )
    refused = [line for line in notes if line.startswith("refused")]
    reasons = ("no connection", "404", "a web page ('Moved & gone')", "quota", "its SHA-256 is")
    reasons += ("bytes, not", "its MD5 is", "neither a zip nor a tar", "404")
    assert len(refused) == len(reasons)
    for line, reason in zip(refused, reasons, strict=True):
        assert reason in line
    assert "as our README states: the file has changed" in refused[4]
    assert fetched.place == "place-9"
    assert check_dataset("Test100", tmp_path / "root").healthy
    assert left(tmp_path) == ["place-9.archive", "place-9.archive.json"]  # for Test1200


def test_a_page_from_the_next_mirror_does_not_discard_what_came(fetch, net, archive):
    net.web["/page.zip"] = b"<html>busy</html>"
    net.cut = [50_000, 0]
    first = http(net, "/a.zip", archive, **digest(archive))
    second = http(net, "/page.zip", net.web["/page.zip"], **digest(archive))
    with pytest.raises(DataError):
        fetch(first, second)
    fetch(first, second)
    assert net.ranges[-1] == "bytes=50000-"


def test_hugging_face_redirects_to_its_delivery_network(fetch, net, archive):
    net.web["/blob/datasets/a/b/resolve/main/test.zip"] = archive
    net.cut = [50_000]
    place = {"kind": "hugging-face", "repository": "datasets/a/b", "file": "test.zip"}
    assert fetch(place | {"stated_by": ["us"]}).sha256 == sha256_bytes(archive)
    assert net.ranges == [None, "bytes=50000-"]


def test_a_server_that_falls_silent_is_left_for_the_next(fetch, net, archive, monkeypatch):
    monkeypatch.setattr(remotes, "TIMEOUT", 0.3)
    net.pause = 1.0
    notes = []
    with pytest.raises(DataError, match=r"timed out"):
        fetch(http(net, "/a.zip", archive), note=notes.append)


def test_a_slow_server_is_good_enough(fetch, net):
    net.pause = 0.05
    seen = []
    fetch(observe=lambda here, total: seen.append(here))
    assert len(seen) > 3


def test_files_at_plain_addresses_are_one_dataset(fetch, net, sample_root, tmp_path):
    names = ("ValidationNoisyBlocksSrgb.mat", "ValidationGtBlocksSrgb.mat")
    for name in names:
        net.web[f"/{name}"] = (sample_root / "test/SIDD" / name).read_bytes()
    urls = [f"{net.base}/{name}" for name in names]
    fetched = fetch({"kind": "http-files", "urls": urls, "stated_by": ["us"]}, name="SIDD")
    assert check_dataset("SIDD", tmp_path / "root").healthy
    assert set(json.loads(fetched.record.read_text())["sha256"]) == set(names)
    assert left(tmp_path) == []


def test_a_folder_with_another_datasets_name_is_renamed(fetch, net, sample_root, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as handle:
        for path in sorted((sample_root / "test/Test100").rglob("*.*")):
            handle.write(path, f"train/GoPro/{path.relative_to(sample_root / 'test/Test100')}")
    net.drive[ID] = buffer.getvalue()
    with pytest.raises(DataError, match="does not hold GoPro-train"):
        fetch(name="GoPro-train")
    fetch(drive(renamed=["train/GoPro", "GoPro/train"]), name="GoPro-train")
    assert (tmp_path / "root/train/GoPro/train/input").is_dir()
    assert not list((tmp_path / "root").glob(".*"))


# An archive of several datasets.


def test_a_shared_archive_is_downloaded_once_and_removed_with_the_last_set(fetch, net, tmp_path):
    first = fetch()
    assert "which also has Test1200" in first.kept
    second = fetch(name="Test1200")
    assert second.kept == ""
    assert net.ranges == [None]
    assert left(tmp_path) == []
    assert check_dataset("Test1200", tmp_path / "root").healthy


def test_a_file_that_is_here_already_is_used_first(fetch, net, archive):
    places = (http(net, "/a.zip", None), drive())
    fetch(*places)
    net.web["/a.zip"] = archive
    assert fetch(*places, name="Test1200").place == "place-1"
    assert net.ranges == [None]


# The record and the consent.


def test_what_came_is_recorded_next_to_the_dataset(fetch, archive, tmp_path):
    record = json.loads(fetch().record.read_text())
    assert (tmp_path / "root/test/Test100.source.json").is_file()
    assert record["sha256"] == sha256_bytes(archive)
    assert record["bytes"] == len(archive)
    assert record["digest"] == "nobody states a digest"
    assert record["address"].endswith("/uc") and record["place"] == "place-0"
    assert record["licence"] and record["citation"] and record["fetched"].startswith("20")


def test_without_consent_nothing_is_requested(fetch, net, tmp_path):
    asked = []
    with pytest.raises(DataError, match="were not accepted"):
        fetch(consent=lambda plan: bool(asked.append(plan.name)))
    assert asked == ["Test100"]
    assert net.paths == [] and not (tmp_path / "downloads").exists()


def test_a_dataset_that_is_there_is_refused_before_the_question(fetch, tmp_path):
    (tmp_path / "root/test/Test100").mkdir(parents=True)
    with pytest.raises(DataError, match="already exists"):
        fetch(consent=lambda plan: pytest.fail("asked"))


def test_pixels_are_verified_where_the_catalogue_knows_them(fetch, net, sample_root, tmp_path):
    """The sample's Rain100H is not the benchmark's, whatever digest is stated."""
    folder = tmp_path / "made"
    name = shutil.make_archive(str(folder / "b"), "zip", sample_root / "test", "Rain100H")
    content = (folder / name).read_bytes()
    net.drive[ID] = content
    with pytest.raises(DataError, match="do not match a known release"):
        fetch(drive(**digest(content)), name="Rain100H")
    assert not (tmp_path / "root/test").exists()


@pytest.mark.benchmarks_data
@pytest.mark.parametrize("name", ["Set11", "BSD68", "Rain100L", "Rain100H"])
def test_real_sets_come_file_by_file_from_git_trees(benchmarks, net, tmp_path, monkeypatch, name):
    """The trees of ``sources.yaml`` at a stand-in for GitHub; the first file is cut once."""
    from dgunet.data.sources.entries import git_files, sources

    monkeypatch.setenv("DGUNET_SOURCES", str(net.overlay(tmp_path / "own.yaml")))
    place = sources().places[sources().datasets[name].places[0]]
    for one in git_files(place):
        folder, _, file = one.path.rpartition("/")
        tree = next(tree for tree in place.trees if tree.into == folder)
        held = "Rain100L" if folder == "target" else name
        path = tree.url(sources().services, file).removeprefix(net.base)
        net.web[path] = (benchmarks / held / one.path).read_bytes()
    net.cut = [1000]
    fetched = fetch_known(name, tmp_path / "root", tmp_path / "d", consent=lambda plan: True)
    assert fetched.verified.startswith("verified by its pixels")
    assert "SHA-256 of every file" in fetched.verified
    assert len(net.ranges) == plan_files(name) + 1
    assert net.ranges[1] == "bytes=1000-"


def plan_files(name):
    from dgunet.data.sources.entries import git_files

    return len(git_files(plan_fetch(name).mirrors[0]))
