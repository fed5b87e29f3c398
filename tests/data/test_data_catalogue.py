"""The catalogue: datasets, layouts, protocols and the commands that print it."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.catalogue.entries import CATALOGUE, FURTHER, dataset
from dgunet.data.readers.folder_layouts import LAYOUTS, read_pairs
from dgunet.data.store.pair_store import PairStore
from dgunet.data.store.prepare import prepare_dataset
from dgunet.evaluation.protocols import protocol
from dgunet.paper import published
from dgunet.paper.cell_positions import TWELFTH_COLUMN, slots
from dgunet.project import test_sets as evaluated
from dgunet.system.errors import DataError

PUBLISHED = {
    "Test100": 98,
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


def test_the_twelve_test_sets_have_their_published_sizes():
    tests = {info.name: info.pairs for info in CATALOGUE.values() if info.role == "test"}
    assert tests == PUBLISHED
    assert list(tests) == list(PUBLISHED), "the order of the paper"


def test_each_task_has_one_training_set():
    training = {info.task: info.pairs for info in CATALOGUE.values() if info.role == "train"}
    assert training == {
        "derain": 11200 + 1800 + 700 + 12 - 1,
        "deblur": 2103,
        "denoise": 320,
        "cs": 400,
    }


def test_rain13k_is_the_sum_of_its_four_datasets():
    parts = {part.name: part.pairs for part in dataset("Rain13K").parts}
    assert list(parts) == ["Rain14000", "Rain1800", "Rain800", "Rain12"]
    assert sum(parts.values()) == dataset("Rain13K").printed_pairs == dataset("Rain13K").pairs + 1
    rest = {name: FURTHER[name].pairs - pairs for name, pairs in parts.items()}
    assert rest == {
        "Rain14000": dataset("Test2800").pairs,
        "Rain1800": 0,
        "Rain800": 0,
        "Rain12": 0,
    }


def test_further_datasets_are_known_but_not_part_of_all():
    assert list(FURTHER) == [
        *("Rain14000", "Rain1800", "Rain800", "Rain12"),
        *("RealBlur-R", "SIDD-benchmark", "DIV2K"),
    ]
    assert not FURTHER.keys() & CATALOGUE.keys()
    assert set(FURTHER).isdisjoint(evaluated("all"))
    with pytest.raises(DataError, match="'RealBlur-R' is not a test set"):
        evaluated("RealBlur-R")


def test_preparation_does_not_import_torch():
    """Each of the sixteen prepare stages would wait for the import."""
    code = "import sys, dgunet.data.store.prepare; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_the_twelfth_test_set_is_in_no_table():
    assert [info.name for info in CATALOGUE.values() if not info.tables] == ["RealBlur-J"]
    assert [info.name for info in CATALOGUE.values() if info.twelfth] == ["RealBlur-J"]


@pytest.mark.parametrize("info", (FURTHER | CATALOGUE).values(), ids=lambda info: info.name)
def test_every_entry_has_an_existing_layout_and_protocol(info):
    assert all(tree.layout in LAYOUTS for tree in info.trees)
    assert protocol(info.protocol).name == info.protocol


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DataError, match=r"'Rain200H'.*Rain100H.*BSD400"):
        dataset("Rain200H")


def paint(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (value, value, value)).save(path)


def stored(name, root):
    """(id, input value, target value) of every pair of a dataset of constant images."""
    pairs = read_pairs(dataset(name), root)
    return [
        (
            pair.id,
            *(None if p is None else int(p.load()[0, 0, 0]) for p in (pair.input, pair.target)),
        )
        for pair in pairs
    ]


def test_every_rainy_image_of_rain14000_is_paired_with_its_clean_image(tmp_path):
    base = tmp_path / "rainy_image_dataset"
    for part, number in (("training", 1), ("training", 11), ("testing", 1)):
        shade = 100 * (part == "testing") + number
        paint(base / part / "ground_truth" / f"{number}.jpg", shade)
        for rain in (1, 2, 14):
            paint(base / part / "rainy_image" / f"{number}_{rain}.jpg", shade + 10 * rain)
    pairs = stored("Rain14000", tmp_path)
    assert [name for name, *_ in pairs] == [
        f"{part}-{number}_{rain}"
        for part, number in (("testing", 1), ("training", 1), ("training", 11))
        for rain in (1, 2, 14)
    ]
    for name, rainy, clean in pairs:
        assert rainy - clean == 10 * int(name.split("_")[1])
    paint(base / "training" / "rainy_image" / "12_1.jpg", 0)
    with pytest.raises(DataError, match=r"12_1\.jpg has no clean target"):
        read_pairs(dataset("Rain14000"), tmp_path)


def test_rain1800_has_inputs_and_targets_in_one_folder(tmp_path):
    for number in (1, 2, 10):
        paint(tmp_path / "train/RainTrainH" / f"rain-{number}.png", 100 + number)
        paint(tmp_path / "train/RainTrainH" / f"norain-{number}.png", number)
    assert stored("Rain1800", tmp_path) == [("1", 101, 1), ("2", 102, 2), ("10", 110, 10)]
    (tmp_path / "train/RainTrainH/norain-2.png").unlink()
    with pytest.raises(DataError, match=r"rain-2\.png has no clean target"):
        read_pairs(dataset("Rain1800"), tmp_path)


def test_the_sidd_benchmark_blocks_have_no_target(tmp_path):
    blocks = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), np.uint8)
    name = "BenchmarkNoisyBlocksSrgb"
    (tmp_path / "SIDD").mkdir()
    savemat(tmp_path / "SIDD" / f"{name}.mat", {name: blocks})
    prepare_dataset("SIDD-benchmark", tmp_path, tmp_path / "store", profile="sample")
    store = PairStore.open(tmp_path / "store")
    assert [record.id for record in store] == [f"000{s}_000{b}" for s in (1, 2) for b in (1, 2, 3)]
    assert all(record.target is None for record in store)
    np.testing.assert_array_equal(store[4].input, blocks[1, 1])


def test_realblur_r_is_read_from_the_folder_of_realblur_j(tmp_path):
    folder = "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref/scene001"
    paint(tmp_path / "RealBlur" / folder / "gt/gt_1.png", 7)
    paint(tmp_path / "RealBlur" / folder / "blur/blur_1.png", 9)
    (tmp_path / "RealBlur/RealBlur_R_test_list.txt").write_text(
        f"{folder}/gt/gt_1.png {folder}/blur/blur_1.png\n"
    )
    assert stored("RealBlur-R", tmp_path) == [("scene001-blur_1", 9, 7)]


def test_the_list_command_prints_every_dataset():
    result = CliRunner().invoke(data, ["list"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [*CATALOGUE, *FURTHER]


def test_the_info_command_prints_the_card_of_the_twelfth_test_set():
    result = CliRunner().invoke(data, ["info", "RealBlur-J"])
    assert result.exit_code == 0
    assert "evaluated by the authors' code" in result.stdout
    assert "RealBlur_J_test_list.txt" in result.stdout


def test_a_card_lists_the_table_cells_of_its_dataset():
    result = CliRunner().invoke(data, ["info", "Rain100H"])
    lines = [
        line.split(":", 1)[1].strip() for line in result.stdout.splitlines() if "used in" in line
    ]
    assert lines[0] == ("Table 1: rows DGUNet, DGUNet+; columns Rain100H, Average; PSNR, SSIM")
    assert lines[1].startswith("Table 5: rows PSNR; columns 9 stages, 3 scales, ")
    assert len(lines) == 3
    ratios = CliRunner().invoke(data, ["info", "Set11"]).stdout
    assert "rows Set11 1%, Set11 4%" in ratios


@pytest.mark.parametrize("info", CATALOGUE.values(), ids=lambda info: info.name)
def test_the_tables_of_a_test_set_are_those_with_cells_for_it(info):
    placed = {
        table.number
        for table in published.tables()
        for slot in slots(table, "reproduced")
        if info.name in slot.datasets and slot.column != TWELFTH_COLUMN
    }
    assert info.role == "train" or placed == set(info.tables)


def test_the_documented_cards_are_current(project):
    result = CliRunner().invoke(data, ["cards"])
    assert result.stdout == (project / "docs" / "data-cards.md").read_text()
