"""The catalogue: the right sets, known layouts, known protocols, and the verbs that print it."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dgunet.cli.data import data
from dgunet.data.catalogue import CATALOGUE, dataset
from dgunet.data.layouts import LAYOUTS
from dgunet.errors import DataError
from dgunet.evaluation.protocols import protocol

PUBLISHED = {
    "Test100": 100,
    "Rain100H": 100,
    "Rain100L": 100,
    "Test2800": 2800,
    "Test1200": 1200,
    "GoPro": 1111,
    "HIDE": 2025,
    "RealBlur-J": 980,
    "SIDD": 40 * 32,
    "DND": 50 * 20,
    "Set11": 11,
    "BSD68": 68,
}


def test_the_twelve_test_sets_with_their_published_sizes():
    tests = {info.name: info.pairs for info in CATALOGUE.values() if info.role == "test"}
    assert tests == PUBLISHED
    assert list(tests) == list(PUBLISHED), "the paper's order"


def test_one_training_set_for_each_task():
    training = {info.task: info.pairs for info in CATALOGUE.values() if info.role == "train"}
    assert training == {
        "derain": 11200 + 1800 + 700 + 12,
        "deblur": 2103,
        "denoise": 320,
        "cs": 400,
    }


def test_the_deraining_recipe_is_the_sum_of_its_four_sets():
    parts = {part.name: part.pairs for part in dataset("Rain13K").parts}
    assert list(parts) == ["Rain14000", "Rain1800", "Rain800", "Rain12"]
    assert sum(parts.values()) == dataset("Rain13K").pairs


def test_preparing_does_not_load_torch():
    """Sixteen prepare stages would each wait for it."""
    code = "import sys, dgunet.data.prepare; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_the_twelfth_set_serves_no_table():
    assert [info.name for info in CATALOGUE.values() if not info.tables] == ["RealBlur-J"]
    assert [info.name for info in CATALOGUE.values() if info.twelfth] == ["RealBlur-J"]


@pytest.mark.parametrize("info", CATALOGUE.values(), ids=lambda info: info.name)
def test_every_entry_names_a_layout_and_a_protocol_that_exist(info):
    assert all(tree.layout in LAYOUTS for tree in info.trees)
    assert protocol(info.protocol).name == info.protocol


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DataError, match=r"'Rain200H'.*Rain100H.*BSD400"):
        dataset("Rain200H")


def test_list_prints_every_set():
    result = CliRunner().invoke(data, ["list"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == list(CATALOGUE)


def test_info_prints_the_card_and_marks_the_twelfth_set():
    result = CliRunner().invoke(data, ["info", "RealBlur-J"])
    assert result.exit_code == 0
    assert "named by the authors' code" in result.stdout
    assert "RealBlur_J_test_list.txt" in result.stdout


def test_the_documented_cards_are_those_of_the_catalogue(project):
    result = CliRunner().invoke(data, ["cards"])
    assert result.stdout == (project / "docs" / "data-cards.md").read_text()
