"""Only complete evaluations at parity fill the cells of the six tables."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dgunet.paper import cell_positions
from dgunet.paper.cells import Cell
from dgunet.paper.formats import to_markdown, write_tables
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.html_report import write_report
from dgunet.paper.table_building import build_tables
from dgunet.system.errors import ConfigError, DataError

Campaign = Callable[[str], list[dict[str, Any]]]
Make = Callable[..., dict[str, Any]]
RAIN_SETS = ("Test100", "Rain100H", "Rain100L", "Test2800", "Test1200")


def ours(tables: list[GeneratedTable], source: str) -> list[Cell]:
    return [cell for t in tables for cell in t.cells.values() if cell.source == source]


def test_sample_results_fill_no_cell_of_the_paper_tables(campaign: Campaign) -> None:
    tables = build_tables(campaign("sample"), profile="sample")
    assert {(cell.state, cell.value) for cell in ours(tables, "reproduced")} == {("not run", None)}
    sample = ours(tables, "sample")
    assert {cell.state for cell in sample} == {"sample", "waiting for the server"}
    assert {cell.published for cell in sample} == {None}
    for cell in sample:
        assert "sample, not comparable" in cell.row + cell.column
    assert not any(cell.state == "measured" for t in tables for cell in t.cells.values())


def test_sample_results_that_claim_to_be_complete_fill_no_cell(campaign: Campaign) -> None:
    claiming = [
        content | {"complete": True, "state": "measured", "images": content["published_images"]}
        for content in campaign("sample")
    ]
    tables = build_tables(claiming, profile="sample")
    assert {cell.state for cell in ours(tables, "reproduced")} == {"not run"}
    assert "measured" not in {cell.state for cell in ours(tables, "sample")}


def test_complete_paper_results_fill_every_cell_except_those_of_the_server(
    campaign: Campaign,
) -> None:
    tables = build_tables(campaign("paper"), profile="paper")
    cells = ours(tables, "reproduced")
    waiting = [cell for cell in cells if cell.state == "waiting for the server"]
    assert {(cell.column, cell.value) for cell in waiting} == {("DND", None)}
    assert len(waiting) == 4
    assert all(cell.state == "measured" for cell in cells if cell not in waiting)
    assert len(cells) == 24 + 12 + 8 + 40 + 6 + 4
    assert not ours(tables, "sample")
    for cell in cells:
        if cell.state == "measured":
            assert cell.provenance.profile == "paper"
            assert cell.provenance.data_digest and cell.provenance.checkpoint_sha256


def test_values_appear_in_their_cells(campaign: Campaign) -> None:
    summaries = campaign("paper")
    tables = build_tables(summaries, profile="paper")
    value = {(s["dataset"], s["row"], s["ratio"]): s["psnr"] for s in summaries}
    cells = [
        (1, "DGUNet (reproduced)", "Rain100L", ("Rain100L", "DGUNet", None)),
        (2, "DGUNet+ (reproduced)", cell_positions.TWELFTH_COLUMN, ("RealBlur-J", "DGUNet+", None)),
        (3, "DGUNet (reproduced)", "SIDD", ("SIDD", "DGUNet", None)),
        (4, "BSD68 4%", "DGUNet+ (reproduced)", ("BSD68", "DGUNet+", 4)),
        (5, "PSNR (reproduced)", "9 stages, 3 scales", ("Rain100H", "stages-9", None)),
        (5, "PSNR (reproduced)", "7 stages, 3 scales", ("Rain100H", "stages-7", None)),
        (5, "PSNR (reproduced)", "7 stages, 1 scale", ("Rain100H", "scales-1", None)),
        (6, "PSNR (reproduced)", "DGUNet+", ("Rain100H", "stages-7", None)),
        (6, "PSNR (reproduced)", "w/o ISFF", ("Rain100H", "without-isff", None)),
    ]
    for number, row, column, key in cells:
        assert tables[number - 1].cells[row, column, "PSNR"].value == value[key]


def test_the_average_is_the_mean_of_the_five_test_set_means(campaign: Campaign) -> None:
    summaries = campaign("paper")
    means = [s["psnr"] for s in summaries if s["dataset"] in RAIN_SETS and s["row"] == "DGUNet"]
    cell = build_tables(summaries, profile="paper")[0].cells[
        "DGUNet (reproduced)", "Average", "PSNR"
    ]
    assert len(means) == 5
    assert cell.value == pytest.approx(sum(means) / 5, rel=1e-14)
    assert (cell.state, cell.provenance.images) == ("measured", 98 + 100 + 100 + 2800 + 1200)


@pytest.mark.parametrize(
    ("dropped", "change", "shown"),
    [
        (2, {}, "partial (3 of 5 sets)"),
        (
            0,
            {"images": 7, "complete": False, "state": "partial"},
            "partial (not all sets are complete)",
        ),
        (0, {"checkpoint_sha256": "other"}, "partial (the sets differ in checkpoint or protocol)"),
    ],
)
def test_the_average_needs_five_complete_test_sets_and_one_network(
    summary: Make, dropped: int, change: dict[str, Any], shown: str
) -> None:
    summaries = [summary(name) for name in RAIN_SETS[dropped:]]
    summaries[-1] |= change
    cell = build_tables(summaries, profile="paper")[0].cells[
        "DGUNet+ (reproduced)", "Average", "PSNR"
    ]
    assert (cell.state, cell.shown) == ("partial", shown)


@pytest.mark.parametrize(
    ("change", "state", "shown"),
    [
        ({"images": 5, "complete": False}, "partial", "partial (5 of 1111 images)"),
        ({"images": 5}, "partial", "partial (5 of 1111 images)"),
        (
            {"complete": False},
            "partial",
            "partial (the data is another release than the benchmark's)",
        ),
        ({"parity": False}, "partial", "partial (not the paper's network and protocol)"),
        ({"state": "partial"}, "partial", "partial"),
        ({"psnr": None}, "not run", "not run"),
        (
            {"psnr": None, "identical": 3},
            "infinite",
            "infinite (3 of 1111 images equal the ground truth)",
        ),
        (
            {"psnr": None, "identical": 3, "images": 5},
            "partial",
            "partial (5 of 1111 images)",
        ),
        ({"psnr": 32.715}, "measured", "32.72"),
        ({"psnr": 32.125}, "measured", "32.12"),
        ({"psnr": 32.7149999}, "measured", "32.71"),
    ],
)
def test_only_a_complete_run_at_parity_is_measured(
    summary: Make, change: dict[str, Any], state: str, shown: str
) -> None:
    table = build_tables([summary("GoPro", **change)], profile="paper")[1]
    cell = table.cells["DGUNet+ (reproduced)", "GoPro", "PSNR"]
    assert (cell.state, cell.shown) == (state, shown)


def test_an_infinite_mean_is_shown_with_its_cause_everywhere(summary: Make, tmp_path: Path) -> None:
    """The mean of five sets with an infinite one is infinite as well; SSIM stays measured."""
    sets = [summary(name, "DGUNet", checkpoint_sha256="a" * 64) for name in RAIN_SETS]
    sets[2] |= {"psnr": None, "identical": 3}
    tables = build_tables(sets, profile="paper")
    ours = {key[1:]: c for key, c in tables[0].cells.items() if key[0] == "DGUNet (reproduced)"}
    single, average = ours["Rain100L", "PSNR"], ours["Average", "PSNR"]
    note = "3 of 100 images equal the ground truth"
    assert (single.state, single.verdict, single.value) == ("infinite", "infinite", None)
    assert (single.note, average.note) == (note, f"Rain100L: {note}")
    assert (average.state, average.value, average.difference) == ("infinite", None, None)
    assert ours["Rain100L", "SSIM"].state == ours["Rain100H", "PSNR"].state == "measured"
    write_tables(tables, tmp_path)
    for name in ("table1.md", "table1.csv", "verdicts.md", "verdicts.csv"):
        assert note in (tmp_path / name).read_text(encoding="utf-8"), name
    json.loads((tmp_path / "index.json").read_text(), parse_constant=pytest.fail)
    write_report(tables, {}, tmp_path / "report.html")
    assert note in (tmp_path / "report.html").read_text(encoding="utf-8")
    sample = build_tables([sets[2] | {"profile": "sample"}], profile="sample")[0]
    assert "infinite" in {cell.state for cell in sample.cells.values() if cell.metric == "PSNR"}


def test_the_98_pairs_of_test100_are_measured_and_100_are_another_release(summary: Make) -> None:
    at = ("DGUNet+ (reproduced)", "Test100", "PSNR")
    whole = build_tables([summary("Test100")], profile="paper")[0]
    assert (whole.cells[at].state, whole.cells[at].provenance.images) == ("measured", 98)
    (note,) = [note for note in whole.notes if note.startswith("Test100")]
    assert note == (
        "Test100: the paper prints 100 pairs in the name of the set; the published numbers were"
        " made with 98 (the authors of MPRNet, issue 23)."
    )
    assert note in to_markdown(whole)
    assert any(note.startswith("Rain13K: the paper prints 13,712 pairs") for note in whole.notes)
    other = summary("Test100", images=100, complete=False, state="partial")
    cell = build_tables([other], profile="paper")[0].cells[at]
    assert (cell.state, cell.note) == (
        "partial",
        '100 images ("Rain800\'s test half"), not the published 98',
    )


def test_model_selection_on_a_test_set_is_noted_in_the_cell_and_table(summary: Make) -> None:
    chosen = summary("HIDE", selection="test-set GoPro")
    table = build_tables([summary("GoPro"), chosen], profile="paper")[1]
    cell = table.cells["DGUNet+ (reproduced)", "HIDE", "PSNR"]
    assert (cell.state, cell.note) == ("measured", "weights chosen on GoPro")
    assert cell.provenance.selection == "test-set GoPro"
    assert table.cells["DGUNet+ (reproduced)", "GoPro", "PSNR"].note == ""
    (note,) = [note for note in table.notes if "best on the test set" in note]
    assert "DGUNet+ on HIDE" in note
    assert note in to_markdown(table)


@given(value=st.floats(0, 100))
@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_shown_numbers_differ_by_at_most_half_a_unit(summary: Make, value: float) -> None:
    table = build_tables(
        [summary("Set11", ratio=25, psnr=value, ssim=value / 100)], profile="paper"
    )[3]
    psnr = table.cells["Set11 25%", "DGUNet+ (reproduced)", "PSNR"]
    ssim = table.cells["Set11 25%", "DGUNet+ (reproduced)", "SSIM"]
    assert abs(float(psnr.shown) - value) <= 0.005 + 1e-12 and psnr.value == value
    assert abs(float(ssim.shown) - value / 100) <= 0.00005 + 1e-12


def test_the_twelfth_test_set_has_no_published_value(campaign: Campaign) -> None:
    table = build_tables(campaign("paper"), profile="paper")[1]
    cells = [cell for cell in table.cells.values() if cell.column == cell_positions.TWELFTH_COLUMN]
    assert {cell.state for cell in cells if cell.source == "published"} == {"not in the paper"}
    assert {cell.published for cell in cells} == {None}


def test_the_order_of_summaries_does_not_matter(campaign: Campaign) -> None:
    summaries = campaign("paper")
    shuffled = random.Random(7).sample(summaries, len(summaries))
    assert build_tables(shuffled, profile="paper") == build_tables(summaries, profile="paper")


def test_the_data_digest_depends_on_the_data_of_its_table(summary: Make) -> None:
    digests = [
        [table.data_digest for table in build_tables(summaries, profile="paper")]
        for summaries in (
            [summary("GoPro")],
            [summary("GoPro", data_digest="other")],
            [summary("GoPro"), summary("SIDD")],
        )
    ]
    assert digests[0][0] == "none"
    assert digests[0][1] != digests[1][1]
    assert digests[0][1] == digests[2][1] and digests[0][2] != digests[2][2]


def test_invalid_summaries_are_reported_with_cell_and_hint(summary: Make) -> None:
    for summaries, error, message in [
        ([summary("GoPro", profile="sample")], ConfigError, "GoPro, DGUNet+ has profile 'sample'"),
        ([summary("GoPro", row="stages-9")], ConfigError, "GoPro has cells for: DGUNet; DGUNet+"),
        (
            [summary("Set11", ratio=30)],
            ConfigError,
            "no table has a cell for Set11, DGUNet+, 30 %",
        ),
        (
            [summary("GoPro") | {"dataset": "Gopro"}],
            ConfigError,
            "test sets BSD68, DND, GoPro",
        ),
        ([summary("GoPro"), summary("GoPro")], DataError, "two summaries of GoPro"),
        ([summary("GoPro", psnr=float("inf"))], DataError, r"GoPro, DGUNet\+: psnr is inf"),
        ([summary("GoPro", complete="yes")], DataError, r"complete is 'yes'"),
        (
            [summary("GoPro"), summary("GoPro", row="DGUNet", data_digest="other")],
            DataError,
            "two versions of its data",
        ),
    ]:
        with pytest.raises(
            error, match=message.replace("DGUNet+ ", r"DGUNet\+ ").replace("+,", r"\+,")
        ):
            build_tables(summaries, profile="paper")
    without = summary("GoPro")
    del without["parity"]
    with pytest.raises(DataError, match=r"GoPro.*parity: Field required"):
        build_tables([without], profile="paper")
    with pytest.raises(ConfigError, match="no tables of the profile 'reduced'") as refused:
        build_tables([], profile="reduced")
    assert "dgunet claims" in refused.value.hint
