"""The overview of the tables: a run's description and charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dgunet.paper.overview import DESCRIPTION_CHARACTERS, chart, compared_cells, describe
from dgunet.paper.table_building import build_tables

Campaign = Callable[[str], list[dict[str, Any]]]


@pytest.mark.parametrize("profile", ["sample", "paper"])
def test_the_results_of_all_tables_fit_into_a_description(campaign: Campaign, profile: str) -> None:
    tables = build_tables(campaign(profile), profile=profile)
    text = describe(tables)
    assert len(text) <= DESCRIPTION_CHARACTERS < 8000
    assert ("SAMPLE PROFILE" in text) == (profile == "sample")
    for table in tables:
        assert f"**Table {table.number}: {table.title}**" in text
        for pair in compared_cells(table):
            if not pair.empty:
                assert f"| {pair.name} | {pair.published} | {pair.ours} |" in text


def test_published_values_are_shown_next_to_their_entries(campaign: Campaign) -> None:
    tables = build_tables(campaign("paper"), profile="paper")
    printed = {(t.number, pair.name): pair.published for t in tables for pair in compared_cells(t)}
    assert printed[1, "Rain100L, DGUNet"] == "37.42/0.969"
    assert printed[4, "Set11 50%, DGUNet+"] == "41.24/0.9837"
    assert printed[5, "9 stages, 3 scales"] == "31.27"
    assert printed[6, "w/o ISFF"] == "30.09"
    assert printed[2, "RealBlur-J, DGUNet"] == "", "not in the paper"


def test_omitted_tables_are_listed_and_missing_values_are_counted(campaign: Campaign) -> None:
    tables = build_tables(campaign("paper"), profile="paper")
    short = describe(tables, limit=2000)
    assert len(short) <= 2000 and "Table 1" in short
    assert short.rstrip().endswith("6 are in the run's files.")
    nothing = describe(build_tables([], profile="paper"))
    assert "12 of 12 entries have no value yet." in nothing


def test_a_sample_chart_shows_no_published_value(campaign: Campaign) -> None:
    lines = {
        profile: [
            line.get_label()
            for line in chart(build_tables(campaign(profile), profile=profile)[0]).axes[0].lines
        ]
        for profile in ("sample", "paper")
    }
    assert lines == {"sample": ["sample, not comparable"], "paper": ["paper", "reproduced"]}
