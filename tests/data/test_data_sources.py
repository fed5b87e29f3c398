"""The sources: complete, consistent, rendered, and replaceable by a file."""

import pytest

from dgunet.data.acquisition.fetch_plan import plan_fetch, plan_weights
from dgunet.data.catalogue.entries import CATALOGUE, FURTHER
from dgunet.data.sources.entries import git_files, sources
from dgunet.data.sources.places import ByHand, GitTree
from dgunet.system.errors import DataError
from dgunet.terms import TASKS

RAIN_TESTS = {"Test100", "Rain100H", "Rain100L", "Test2800", "Test1200"}


def test_every_dataset_of_the_catalogue_has_places():
    assert set(sources().datasets) == {*CATALOGUE, *FURTHER}


def test_every_place_is_used_and_says_who_states_it():
    known = sources()
    groups = (known.datasets, known.weights, known.outputs)
    used = {place for group in groups for entry in group.values() for place in entry.places}
    assert used == set(known.places)
    assert all(place.stated_by and place.page(known.services) for place in known.places.values())


def test_digests_and_sizes_are_those_that_are_stated():
    places = sources().places
    assert places["restormer-rain-test"].bytes == 1_360_310_555
    assert places["restormer-rain-test"].sha256.startswith("5be86b39609c3fbd")
    assert places["sidd-medium"].digests.keys() == {"md5", "sha1"}
    assert places["dgunet-weights"].digests == {}


def test_one_archive_carries_the_five_rain_test_sets():
    known = sources()
    assert set(known.holds(known.places["restormer-rain-test"])) == RAIN_TESTS
    assert set(plan_fetch("Test100").together_with) == RAIN_TESTS - {"Test100"}


def test_the_sets_in_git_are_known_file_by_file():
    known = sources()
    for name in ("Set11", "BSD68", "BSD400", "Rain100L", "Rain100H"):
        first = known.places[known.datasets[name].places[0]]
        assert isinstance(first, GitTree)
        assert len(git_files(first)) == CATALOGUE[name].images
        folders = {tree.into for tree in first.trees}
        assert {one.path.rpartition("/")[0] for one in git_files(first)} == folders
        assert CATALOGUE[name].known  # the pixels are always verified


@pytest.mark.benchmarks_data
def test_the_files_in_git_are_those_of_the_benchmark(benchmarks):
    from dgunet.system.files import sha256_file

    known = sources()
    folders = {"Set11": "Set11", "BSD68": "BSD68", "BSD400": "BSD400", "Rain100L": "Rain100L"}
    for name, folder in folders.items():
        for one in git_files(known.places[known.datasets[name].places[0]]):
            path = benchmarks / folder / one.path
            assert (path.stat().st_size, sha256_file(path)) == (one.bytes, one.sha256)


def test_a_set_behind_a_login_is_told_by_hand():
    plan = plan_fetch("DND")
    assert plan.mirrors == ()
    assert "https://noise.visinf.tu-darmstadt.de/downloads/" in plan.by_hand
    assert "dgunet data import DND" in plan.by_hand
    assert all(isinstance(place, ByHand) for place in plan.places)


def test_the_plan_of_every_dataset_and_of_the_weights_can_be_shown(tmp_path):
    for name in sources().datasets:
        text = "\n".join(plan_fetch(name).lines(tmp_path / "root", tmp_path))
        assert "licence" in text and "citation" in text
        assert ("mirror 1" in text) != ("by hand" in text)
    for task in TASKS:
        assert "nobody states a digest" in "\n".join(plan_weights(task).lines(tmp_path, tmp_path))


def test_the_page_and_the_command_show_every_place(dgunet, project):
    done = dgunet("data", "sources", "--markdown")
    assert done.stdout == (project / "docs" / "sources.md").read_text(encoding="utf-8")
    for place in sources().places:
        assert f"`{place}`" in done.stdout
    one = dgunet("data", "sources", "SIDD-train")
    assert "f95b4bc9ec1dd3fe4ebd61aeacad3991" in one.stdout
    assert "no link was followed" in one.stdout
    unknown = dgunet("data", "sources", "Rain100X")
    assert unknown.returncode == 1 and "no source is called 'Rain100X'" in unknown.stderr


def changed(tmp_path, monkeypatch, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    monkeypatch.setenv("DGUNET_SOURCES", str(path))
    return sources


def test_a_file_replaces_services_and_places(tmp_path, monkeypatch):
    text = """
services: {google-drive: "http://drive.example.org/"}
places:
  ours: {kind: http, url: "https://mirror.example.org/a.zip", stated_by: [us]}
datasets: {Test100: {places: [ours]}}
"""
    known = changed(tmp_path, monkeypatch, text)()
    assert known.services["google-drive"] == "http://drive.example.org"
    assert known.services["hugging-face"] == "https://huggingface.co"
    assert [place.name for place in plan_fetch("Test100").mirrors] == ["ours"]
    assert known.datasets["Rain100H"].places[0] == "mspfn-rain100h"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "does not have the form"),
        ("mirrors: {}", "does not have the form"),
        ("datasets: {Test100: {places: [nowhere]}}", "there is no place 'nowhere'"),
        ("places: {x: {kind: ftp, stated_by: [us]}}", "places.x"),
        ("places: {x: {kind: http, url: 'ftp://a/b', stated_by: [us]}}", "places.x.http.url"),
        ("places: {x: {kind: page, url: 'http://a/b', how: b}}", "stated_by"),
        (
            "places: {x: {kind: http, url: 'http://a/b', stated_by: [us], sha256: ab}}",
            "2 digits instead of 64",
        ),
        ("services: {google-drive: 'no address'}", "services"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_key(tmp_path, monkeypatch, text, message):
    load = changed(tmp_path, monkeypatch, text)
    with pytest.raises(DataError) as refused:
        load()
    assert "own.yaml" in str(refused.value)
    assert message in str(refused.value)


def test_a_missing_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("DGUNET_SOURCES", str(tmp_path / "nothing.yaml"))
    with pytest.raises(DataError, match=r"nothing.yaml, which DGUNET_SOURCES names"):
        sources()
