"""The description of a campaign: which cells names select, and which results fill them."""

import itertools
from pathlib import Path

import pytest
import yaml

from dgunet.campaign.description import Campaign, campaign_of, choose_cells, for_checkpoint
from dgunet.config import load_params
from dgunet.network import preset
from dgunet.paper import published
from dgunet.system.errors import ConfigError
from dgunet.terms import ABLATIONS, RELEASED_ABLATIONS

ROOT = Path(__file__).parents[2]


def names(cells):
    return [cell.name for cell in cells]


def test_no_names_select_every_cell_of_ours():
    cells = choose_cells()
    assert {cell.table for cell in cells} == set(published.NUMBERS)
    # Two networks on the columns of Tables 1-3 and the rows of Table 4; the ablations.
    assert len(cells) == 2 * (6 + 3 + 2 + 10) + 6 + 4


def test_names_are_combined():
    assert names(choose_cells(["table4"], rows=["DGUNet"], columns=["Set11 10%"])) == [
        "Table 4, DGUNet, Set11 10%"
    ]
    assert names(choose_cells(rows=["stages-7"])) == [
        "Table 5, 7 stages, 3 scales",
        "Table 6, DGUNet+",
    ]
    assert names(choose_cells(["1", "TABLE2"], rows=["DGUNet+"], sets=["GoPro", "Rain100L"])) == [
        "Table 1, DGUNet+, Rain100L",
        "Table 2, DGUNet+, GoPro",
    ]


def test_the_average_needs_all_of_its_sets():
    (cell,) = choose_cells(rows=["DGUNet"], columns=["Average"])
    assert {each.dataset for each in cell.evaluations()} == {
        *("Test100", "Rain100H", "Rain100L", "Test2800", "Test1200")
    }
    assert "Table 1, DGUNet, Average" not in names(choose_cells(sets=["Test100", "Rain100H"]))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"tables": ["table7"]}, "no table 'table7'"),
        ({"rows": ["MPRNet"]}, "no row 'MPRNet'"),
        ({"columns": ["Set14"]}, "no column 'Set14'"),
        ({"sets": ["Rain13K"]}, "no set 'Rain13K'"),
        ({"tables": ["1"], "sets": ["Set11"]}, "no cell"),
    ],
)
def test_unknown_names_are_refused_with_the_valid_ones(chosen, message):
    with pytest.raises(ConfigError, match=message) as caught:
        choose_cells(**chosen)
    assert caught.value.hint


def test_a_result_that_two_cells_need_is_made_once():
    both = Campaign("paper", "released", choose_cells(rows=["stages-7"]))
    assert [each.name for each in both.evaluations()] == ["Rain100H stages-7"]


def test_the_authors_published_one_of_the_nine_ablations():
    campaign = Campaign("paper", "released", choose_cells(["5", "6"]))
    assert {network.key for network in campaign.networks()} == set(RELEASED_ABLATIONS)
    reasons = {campaign.without_weights(cell) for cell in campaign.cells}
    assert reasons == {"", "the authors published no weights of it"}
    trained = Campaign("paper", "trained", choose_cells(["5", "6"]))
    assert {network.key for network in trained.networks()} == set(ABLATIONS)


def test_a_file_of_weights_fills_the_cells_of_its_network():
    found = for_checkpoint(choose_cells(), preset("cs", "DGUNet+", ratio=25), Path("mine.pth"))
    assert names(found) == ["Table 4, DGUNet+, Set11 25%", "Table 4, DGUNet+, BSD68 25%"]
    with pytest.raises(ConfigError, match=r"mine\.pth holds DGUNet for deblur"):
        for_checkpoint(choose_cells(["1"]), preset("deblur"), Path("mine.pth"))


def dvc_results(params):
    """The results of the DVC stages that ``dvc repro`` runs: (set, row, ratio)."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    found = set()
    for name, stage in stages.items():
        if name.startswith("evaluate-"):
            sets = stage["matrix"]["set"]
            ratios = (1, 4, 10, 25, 50) if name == "evaluate-cs" else (0,)
            found |= set(itertools.product(sets, params.variants, ratios))
    group = yaml.safe_load((ROOT / f"pipelines/{params.weights}/dvc.yaml").read_text())["stages"]
    return found | {("Rain100H", row, 0) for row in group["evaluate-ablation"]["foreach"]}


@pytest.mark.parametrize("weights", ["trained", "released"])
@pytest.mark.parametrize("variants", [("DGUNet",), ("DGUNet", "DGUNet+")])
def test_dvc_makes_the_results_of_the_description(weights, variants):
    shipped = load_params(ROOT / "params.yaml")
    params = shipped.model_copy(update={"weights": weights, "variants": variants})
    wanted = campaign_of(params).evaluations()
    assert dvc_results(params) == {(each.dataset, each.row, each.network.ratio) for each in wanted}
