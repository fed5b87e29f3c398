"""The report's summary, claims and charts: their values, and the page that they make."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from report_pages import Page

from dgunet.network import DGUNet, preset
from dgunet.paper.claims.claim_list import Untestable, claims
from dgunet.paper.claims.judgement import JudgedClaim, Judgement, RunBehind
from dgunet.paper.claims.report_claims import shown_claims
from dgunet.paper.claims.verdicts import Outcome
from dgunet.paper.generated_table import GeneratedTable
from dgunet.paper.html_report import RunLink, write_report
from dgunet.paper.known_verdicts import count_groups
from dgunet.paper.overlaps import known_overlaps
from dgunet.paper.report_evidence import NOT_JUDGED, ReportEvidence, ShownClaims, known_section
from dgunet.paper.result_charts import figure_1, result_charts
from dgunet.paper.table_building import build_tables
from dgunet.paper.training_charts import POINTS, TrainingCurve, TrainingCurves, training_charts
from dgunet.paper.twins import build_twins
from dgunet.terms import CellVerdict

Campaign = Callable[[str], list[dict[str, Any]]]

LINES = {3: 30.68, 5: 30.87, 7: 31.06, 9: 31.27}
"""PSNR over stages as Table 5 prints it."""


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    """A supported claim with a run, a contradicted one that was changed late, the others open."""
    tested = [claim for claim in claims() if not isinstance(claim, Untestable)]
    run = RunBehind("Rain100L DGUNet+", "run<1>", "c" * 40, "600", "w" * 64, "d" * 64, "p" * 64)
    held = Outcome(
        *(tested[0], "supported"),
        effect=0.7123,
        low=0.6,
        high=0.8,
        p=0.0002,
        p_holm=0.0068,
        detectable=0.25,
        claimed="in the interval",
        images={"Rain100L": 100},
        trainings={"DGUNet+": 3},
    )
    against = replace(held, claim=tested[1], verdict="contradicted", effect=-0.5)
    rest = [Outcome(c, "not testable here", "no evaluation of X") for c in claims()]
    rest = [each for each in rest if each.claim not in (tested[0], tested[1])]
    return Judgement(
        "paper",
        29,
        (
            JudgedClaim(held, "1" * 64, "2" * 40, "before its runs", (run,)),
            JudgedClaim(against, "3" * 64, "4" * 40, "changed after its runs", (run,)),
            *(JudgedClaim(each, "5" * 64, "6" * 40, "", ()) for each in rest),
        ),
    )


@pytest.fixture(scope="module")
def curves() -> TrainingCurves:
    """Three trainings of one network, one of another."""
    three = [
        TrainingCurve(
            *("derain-DGUNet", f"seed {seed}"),
            {step: (step + 1.0) * seed for step in range(4)},
            {1: 20.0 + seed, 3: 30.0 + seed},
            source="MLflow",
        )
        for seed in (1, 2, 6)
    ]
    single = TrainingCurve("cs-r10-DGUNet", "seed 1", {0: 1.0, 1: 0.5}, source="MLflow")
    return TrainingCurves([*three, single], "")


@pytest.fixture
def paper(campaign: Campaign) -> list[GeneratedTable]:
    return build_tables(campaign("paper"), profile="paper")


def text_of(page: str, heading: str) -> str:
    """The text of the section with this id in its heading."""
    section = page.partition(f'<h2 id="{heading}">')[2].partition("</section>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", section).split())


def shown(judgement: Judgement, links: Mapping[str, RunLink] | None = None) -> ShownClaims:
    """The claims as `dgunet.steps.report` gives them to the page."""
    return shown_claims(
        judgement, lambda run: (links or {}).get(run.per_image_sha256, RunLink()).web_address
    )


def test_the_page_begins_with_the_counts_of_cells_twins_and_claims(
    campaign: Campaign, judgement: Judgement, tmp_path: Path
) -> None:
    summaries = campaign("paper")
    made = build_tables(summaries, profile="paper")
    twins = build_twins(made, summaries, rows={}, overlaps=known_overlaps(None))
    evidence = ReportEvidence(shown(judgement), results=["b", "a"])
    page = write_report(made, {}, tmp_path / "r.html", twins, evidence=evidence).read_text()
    first = re.findall(r'<h2 id="([^"]*)"', page)
    assert first[:4] == ["known", "claims", "charts", "verdicts"]
    ours = [c for t in made for c in t.cells.values() if c.source == "reproduced"]
    verdicts = Counter(cell.verdict for cell in ours)
    said = text_of(page, "known")
    assert f"of our {len(ours)} cells of Tables 1 to 6" in said
    for words, name in (("reproduced", "reproduced"), ("close", "close"), ("differ", "differs")):
        assert not verdicts[name] or f"{verdicts[name]} {words}" in said
    assert f"{Counter(t.state for t in twins)['unknown']} unknown" in said
    open_claims = len(claims()) - 2
    assert f"of {len(claims())}: 1 supported, 1 contradicted, {open_claims} not testable" in said
    assert "profile paper, 29 evaluations, training steps 600, trainings per network 3" in said
    rows = re.findall(r'<a href="#table\d">(\d)</a></th>((?:<td>\d+</td>){5})', page)
    assert [number for number, _ in rows] == list("123456")
    counted = [int(n) for _, cells in rows for n in re.findall(r"\d+", cells)]
    assert sum(counted) == len(ours)


def test_the_cells_of_the_sample_are_counted_once_and_are_not_compared(campaign: Campaign) -> None:
    made = build_tables(campaign("sample"), profile="sample")
    known = known_section(made, [], ReportEvidence())
    assert known["count"] == 94
    assert known["cells"] == "94 not compared"
    assert known_section(build_tables([], profile="sample"), [], ReportEvidence())["cells"] == (
        "94 not run"
    )


def test_every_verdict_is_in_one_group() -> None:
    from typing import get_args

    verdicts = get_args(CellVerdict)
    counts = count_groups((verdict, "measured") for verdict in verdicts)
    assert sum(counts.values()) == len(verdicts)
    assert counts["differ"] == counts["close"] == counts["reproduced"] == 1
    assert count_groups([("not comparable", "not run")])["not run"] == 1


def test_the_head_of_the_page_has_the_counts_for_programs(
    paper: list[GeneratedTable], judgement: Judgement, tmp_path: Path
) -> None:
    def facts(evidence: ReportEvidence) -> dict[str, Any]:
        page = write_report(paper, {}, tmp_path / "r.html", evidence=evidence).read_text()
        content = re.search('<meta name="dgunet" content="([^"]*)">', page)
        assert content
        found: dict[str, Any] = json.loads(content[1].replace("&#34;", '"'))
        return found

    given = facts(ReportEvidence(shown(judgement), results=["b", "a", "a"]))
    assert given["claims"]["supported"] == 1 and given["claims"]["contradicted"] == 1
    assert given["evaluations"] == 2
    assert given["results"] == facts(ReportEvidence(results=["a", "b"]))["results"]
    assert given["results"] != facts(ReportEvidence(results=["a"]))["results"]
    assert facts(ReportEvidence())["claims"] is None


def test_a_claim_has_its_numbers_and_a_link_to_its_run(
    paper: list[GeneratedTable], judgement: Judgement, tmp_path: Path
) -> None:
    links = {"p" * 64: RunLink("run<1>", "http://localhost:5000/run1")}
    evidence = ReportEvidence(shown(judgement, links))
    page = write_report(paper, links, tmp_path / "r.html", evidence=evidence).read_text()
    said = text_of(page, "claims")
    assert "measured +0.712 dB, interval +0.600 dB to +0.800 dB, claimed +0.730 dB" in said
    for fact in ("0.0002", "0.0068", "in the interval", "+0.250 dB", "c" * 40, "w" * 64, "d" * 64):
        assert fact in said
    assert "the claim was fixed before its runs, in commit 222222222222" in said
    assert said.count("Changed after its runs.") == 1
    assert said.index("contradicted DGUNet+") > said.index("supported DGUNet+")
    assert page.count('<a href="http://localhost:5000/run1">run&lt;1&gt;</a>') == 2
    unsafe = {"p" * 64: RunLink("run<1>", "javascript:alert(1)")}
    evidence = ReportEvidence(shown(judgement, unsafe))
    page = write_report(paper, unsafe, tmp_path / "r.html", evidence=evidence).read_text()
    assert "javascript" not in page
    assert "no evaluation of X" in text_of(page, "claims")


def test_claims_that_were_not_judged_are_said_to_be_so(
    paper: list[GeneratedTable], tmp_path: Path
) -> None:
    page = write_report(paper, {}, tmp_path / "r.html").read_text()
    assert NOT_JUDGED.split("`")[0].strip() in text_of(page, "known")
    assert "They cannot be judged: two protocols" in text_of(
        write_report(
            paper,
            {},
            tmp_path / "r.html",
            evidence=ReportEvidence(ShownClaims(reason="They cannot be judged: two protocols")),
        ).read_text(),
        "claims",
    )


def test_a_page_with_everything_is_one_file_in_its_own_colours(
    paper: list[GeneratedTable], judgement: Judgement, curves: TrainingCurves, tmp_path: Path
) -> None:
    evidence = ReportEvidence(shown(judgement), curves)
    path = write_report(paper, {}, tmp_path / "r.html", evidence=evidence)
    text = path.read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert set(page.targets) <= set(page.ids)
    assert all(address.startswith("#") for address in page.addresses)
    assert not page.tags & {"link", "img", "iframe", "object"}
    assert path.stat().st_size < 10_000_000
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        assert re.search(r'role="img" aria-labelledby="plot-\w+"', drawing)
        assert not re.search(r"#[0-9a-f]{3,6}\b(?!-)|http|<style|font-family", drawing)
        assert set(re.findall(r"var\((.*?)\)", drawing)) <= {"--ink", "--rule", "--soft", "--link"}
    again = write_report(paper, {}, tmp_path / "s.html", evidence=evidence)
    assert again.read_text() == text


def test_every_colour_of_the_page_is_defined_on_screen_in_the_dark_and_on_paper(
    paper: list[GeneratedTable], tmp_path: Path
) -> None:
    page = write_report(paper, {}, tmp_path / "r.html").read_text()
    style = page.partition("<style>")[2].partition("</style>")[0]
    lengths = {"--at", "--width"}  # which each figure sets for itself
    used = set(re.findall(r"var\((--[\w-]+)\)", page)) - lengths
    light, dark, printed = (
        dict(re.findall(r"(--[\w-]+): (#\w+)", block))
        for block in re.findall(r":root \{([^}]*)\}", style)
    )
    for colours in (light, dark, printed):
        assert used <= set(colours)
        for name in ("--good", "--bad", "--warn", "--soft", "--link", "--ink"):
            assert contrast(colours[name], colours["--panel"]) >= 4.5, name
    for name in ("supported", "contradicted", "inconclusive", "not-testable-here"):
        assert f".claim-{name}" in style
    assert ".charts" in style[style.rindex("@media print") :]


def contrast(first: str, second: str) -> float:
    """The contrast of two colours by WCAG 2, from 1 to 21."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * d for d in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_figure_1_shows_computed_sizes_and_names_the_methods_without_one(
    summary: Callable[..., dict[str, Any]],
) -> None:
    made = {t.number: t for t in build_tables([], profile="paper")}
    chart = figure_1(made[3])
    (series,) = chart.panels[0].series
    built = DGUNet(preset("denoise", "DGUNet"))
    size = sum(p.numel() for p in built.parameters()) / 1e6
    assert series.x[0] == pytest.approx(size)
    assert list(series.y) == [40.04, 40.12] and list(series.names) == ["DGUNet", "DGUNet+"]
    assert "no score of DND's server is recorded" in chart.remark
    for method in ("MIRNet", "MPRNet", "DeamNet"):
        assert method in chart.remark
    assert ["MPRNet", "not printed", "39.80", ""] in [list(line) for line in chart.lines]
    scored = summary("DND", "DGUNet", psnr=40.01, ssim=0.95)
    tables = {t.number: t for t in build_tables([scored], profile="paper")}
    ours = figure_1(tables[3]).panels[0].series[1]
    assert (list(ours.names), list(ours.y), ours.look) == (["DGUNet"], [40.01], "ours")
    waiting = summary("DND", "DGUNet", psnr=None, ssim=None, state="waiting for the server")
    part = summary("DND", "DGUNet", complete=False, images=3, state="partial")
    for other in (waiting, part):
        tables = {t.number: t for t in build_tables([other], profile="paper")}
        assert len(figure_1(tables[3]).panels[0].series) == 1


def test_stages_and_scales_show_the_papers_values_and_our_intervals(
    summary: Callable[..., dict[str, Any]],
) -> None:
    def charts(tables: list[GeneratedTable]) -> dict[str, Any]:
        return {chart.key: chart for chart in result_charts(tables)}

    given = [summary("Rain100H", f"stages-{n}", psnr=20.0 + n) for n in (3, 7)]
    made = build_tables(given, profile="paper")
    table = next(t for t in made if t.number == 5)
    place = ("PSNR (reproduced)", "3 stages, 3 scales", "PSNR")
    table.cells[place] = replace(table.cells[place], low=22.5, high=23.5, confidence=0.95)
    panel = charts(made)["stages"].panels[0]
    theirs, ours = panel.series
    assert dict(zip(theirs.x, theirs.y, strict=True)) == LINES
    assert dict(zip(ours.x, ours.y, strict=True)) == {3: 23.0, 7: 27.0}
    assert (ours.low[0], ours.high[0]) == (22.5, 23.5) and isnan(ours.low[1])
    lines = [list(line) for line in charts(made)["stages"].lines]
    assert ["3 stages, 3 scales", "30.68", "23.0000", "22.5000 to 23.5000"] in lines
    assert "Without a value of ours: 5 stages, 3 scales; 9 stages" in charts(made)["stages"].remark
    scales = charts(made)["scales"].panels[0].series
    assert list(scales[0].y) == [29.67, 30.43, 31.06] and list(scales[1].x) == [3]
    assert charts(made)["parts"].ticks == ["DGUNet+", "w/o FGDM", "w/o SP", "w/o ISFF"]


def test_the_samples_values_have_axes_of_their_own(campaign: Campaign) -> None:
    made = build_tables(campaign("sample"), profile="sample")
    chart = next(c for c in result_charts(made) if c.key == "stages")
    assert [panel.y_label for panel in chart.panels] == ["paper, dB", "sample, dB"]
    assert "not comparable" in chart.remark


def test_a_partial_value_is_not_drawn(summary: Callable[..., dict[str, Any]]) -> None:
    part = summary("Rain100H", "stages-3", complete=False, images=3, state="partial")
    chart = next(
        c for c in result_charts(build_tables([part], profile="paper")) if c.key == "stages"
    )
    assert [series.label for series in chart.panels[0].series] == ["paper"]


def test_several_trainings_are_their_mean_with_a_band(curves: TrainingCurves) -> None:
    several, single = training_charts(curves.curves)
    assert (several.title, single.title) == ("derain-DGUNet", "cs-r10-DGUNet")
    (loss,), (validation,) = (panel.series for panel in several.panels)
    assert list(loss.x) == [0, 1, 2, 3]
    assert list(loss.y) == pytest.approx([3, 6, 9, 12])
    assert (list(loss.low), list(loss.high)) == ([1, 2, 3, 4], [6, 12, 18, 24])
    assert list(validation.x) == [1, 3] and list(validation.low) == [21, 31]
    assert several.remark.startswith("3 trainings: seed 1, seed 2, seed 6.")
    (alone,) = single.panels[0].series
    assert list(alone.y) == [1.0, 0.5] and not alone.low and "band" not in single.remark


def test_a_long_curve_is_drawn_as_means_and_without_what_is_not_finite() -> None:
    steps = 10 * POINTS
    loss = {step: float(step) for step in range(steps)} | {0: float("nan"), 1: float("inf")}
    (chart,) = training_charts([TrainingCurve("derain-DGUNet", "seed 1", loss)])
    (series,) = chart.panels[0].series
    assert len(series.x) <= POINTS
    assert list(series.x) == list(series.y), "a mean of steps for every mean of losses"
    assert "Each point is the mean of 10 steps" in chart.remark
    assert chart.lines[0][1:3] == ["6", "6.5"] and len(chart.lines) == 12


def test_a_page_without_trainings_says_why(paper: list[GeneratedTable], tmp_path: Path) -> None:
    evidence = ReportEvidence(curves=TrainingCurves((), "The MLflow store does not exist."))
    page = write_report(paper, {}, tmp_path / "r.html", evidence=evidence).read_text()
    assert "The MLflow store does not exist." in text_of(page, "trainings")
