"""The verdict on a cell at each of its borders, its tolerance, and its interval."""

import math

import numpy as np
import pytest
from made_results import made_rows, write_result

from dgunet.evaluation.results import read_result_and_rows
from dgunet.evaluation.rows import Row
from dgunet.paper import cell_positions, published
from dgunet.paper.explain import explain_cell
from dgunet.paper.formats import cells_frame, write_tables
from dgunet.paper.html_report import write_report
from dgunet.paper.intervals import FEWEST_IMAGES, interval_of_cell
from dgunet.paper.overview import describe
from dgunet.paper.table_building import build_tables
from dgunet.paper.verdict_lines import count_verdicts, headline
from dgunet.paper.verdicts import CLOSE, SeedSpread, compare, judge, seed_spreads, tolerance_of
from dgunet.steps.tables import make_tables, read_results_and_rows

RAIN_SETS = ("Test100", "Rain100H", "Rain100L", "Test2800", "Test1200")


def border(value, step):
    """The floating-point numbers next to ``value`` on both sides; ``step`` is the outward sign."""
    return math.nextafter(value, -step * math.inf), math.nextafter(value, step * math.inf)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("printed", "tolerance", "reach"),
    [
        ("37.42", "0.01", 0.015),  # half a unit of the second decimal
        ("37.4", "0.01", 0.06),
        ("0.969", "0.001", 0.0015),
        ("0.9837", "0.001", 0.00105),  # Table 4 prints four decimals
        ("37.42", "0.1", 0.105),
        ("37.42", "0.07", 0.075),
    ],
)
def test_each_border_of_a_verdict(printed, tolerance, reach, sign):
    for distance, near, far in (
        (reach, "reproduced", "close"),
        (reach + (CLOSE - 1) * float(tolerance), "close", "differs"),
    ):
        inside, outside = border(float(printed) + sign * distance, sign)
        # The sum may be off by its last bits; the next digits decide.
        assert compare(inside - sign * 1e-12, printed, tolerance) == near
        assert compare(outside + sign * 1e-12, printed, tolerance) == far
    assert compare(float(printed), printed, tolerance) == "reproduced"


def test_a_border_is_exact():
    """37.4375 and its neighbours are exact in binary: 37.43 + 0.0075."""
    inside, outside = border(37.4375, 1)
    assert compare(37.4375, "37.43", "0.0025") == "reproduced"
    assert compare(inside, "37.43", "0.0025") == "reproduced"
    assert compare(outside, "37.43", "0.0025") == "close"


def test_the_tolerance_follows_from_the_weights_and_a_measured_seed_spread():
    spread = SeedSpread(
        dataset="Rain100L", row="DGUNet", ratio=None, metric="PSNR", spread=0.07, seeds=3,
        source="runs a, b, c",
    )  # fmt: skip
    spreads = {spread.position: spread}
    here, elsewhere = spread.position, ("Rain100H", "DGUNet", None, "PSNR")
    assert tolerance_of("trained", here, spreads).value == 0.07
    assert "measured: runs a, b, c" in tolerance_of("trained", here, spreads).reason
    assert tolerance_of("released", here, spreads).value == 0.01
    assert tolerance_of("released", (*here[:3], "SSIM"), spreads).value == 0.001
    for weights in ("trained", "other"):
        assumed = tolerance_of(weights, elsewhere, spreads)
        assert assumed.value == 0.1 and assumed.reason.endswith("assumed")
        assert tolerance_of(weights, (*elsewhere[:3], "SSIM"), spreads).value == 0.01
    assert seed_spreads() == {}, "an entry changes verdicts: test it here"


@pytest.mark.parametrize(
    ("state", "printed", "verdict"),
    [
        ("sample", None, "not comparable"),
        ("partial", "37.42", "partial"),
        ("not run", "37.42", "not run"),
        ("waiting for the server", "40.00", "waiting for the server"),
        ("measured", None, "no published value"),
        ("measured", "-", "no published value"),
    ],
)
def test_only_measured_cells_with_a_published_value_are_compared(state, printed, verdict):
    tolerance = tolerance_of("released", ("x", "x", None, "PSNR"), {})
    found = judge(state, 37.42, printed, tolerance)
    assert (found.verdict, found.difference, found.tolerance) == (verdict, None, None)


def rain(summary, psnr, weights, **more):
    return build_tables(
        [summary("Rain100L", "DGUNet", psnr=psnr, ssim=0.969, weights=weights, **more)],
        profile="paper",
    )[0].cells["DGUNet (reproduced)", "Rain100L", "PSNR"]


def test_released_weights_have_the_narrow_tolerance(summary):
    """The paper prints 37.42."""
    for weights, psnr, verdict in (
        ("released", 37.434, "reproduced"),
        ("released", 37.436, "close"),
        ("released", 37.456, "differs"),
        ("trained", 37.50, "reproduced"),
        ("trained", 37.30, "close"),
        ("trained", 37.11, "differs"),
        ("other", 37.50, "reproduced"),
    ):
        cell = rain(summary, psnr, weights)
        assert (cell.verdict, cell.provenance.weights) == (verdict, weights)
        assert cell.difference == pytest.approx(psnr - 37.42, abs=1e-12)
        assert (cell.low, cell.confidence) == (None, None), "no scores of single images were given"


def test_weights_chosen_on_the_test_set_keep_their_note(summary):
    cell = rain(summary, 37.42, "trained", selection="test-set Rain100L")
    assert (cell.verdict, cell.note) == ("reproduced", "weights chosen on Rain100L")


def test_no_cell_of_a_sample_is_compared(campaign):
    tables = build_tables(campaign("sample"), profile="sample")
    ours = [cell for table in tables for cell in table.cells.values() if cell.verdict]
    assert {cell.verdict for cell in ours} == {"not run", "not comparable"}
    assert {(c.difference, c.tolerance, c.low) for c in ours} == {(None, None, None)}


# Intervals.


def percentile_interval(samples, weights, confidence=0.95):
    """An independent bootstrap in plain NumPy with another seed: percentiles of the resamples."""
    draw = np.random.default_rng(99)
    total = np.zeros(6000)
    for sample, weight in zip(samples, weights, strict=True):
        values = np.asarray(sample)
        chosen = draw.integers(0, len(values), (6000, len(values)))
        total += weight * values[chosen].mean(axis=1)
    return np.quantile(total, [(1 - confidence) / 2, (1 + confidence) / 2])


def test_the_interval_agrees_with_an_independent_bootstrap():
    draw = np.random.default_rng(3)
    samples = [draw.normal(30 + n, 2 + n, 60 * (n + 1)) for n in range(5)]
    for chosen, weights in ((samples[:1], [1.0]), (samples, [0.2] * 5), (samples[:2], [0.3, -0.3])):
        low, high = interval_of_cell(chosen, weights)
        expected = percentile_interval(chosen, weights)
        assert [low, high] == pytest.approx(expected, abs=0.08 * (high - low))
        assert interval_of_cell(chosen, weights) == (low, high)


def test_few_images_have_no_interval():
    values = np.arange(FEWEST_IMAGES, dtype=float)
    assert interval_of_cell([values], [1.0]) is not None
    assert interval_of_cell([values[1:]], [1.0]) is None
    assert interval_of_cell([values, values[:1]], [0.5, 0.5]) is None
    assert interval_of_cell([np.full(12, 3.0)], [1.0]) == (3.0, 3.0)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Complete made results of the five sets of Table 1 and of Set11."""
    home = tmp_path_factory.mktemp("results")
    facts = {"profile": "paper", "weights": "released"}
    for name in RAIN_SETS:
        sha = "a" * 64
        write_result(home / name, name, checkpoint_sha256=sha, **facts)
    write_result(home / "Set11", "Set11", ratio=10, **facts)
    return home


def test_the_average_resamples_each_set_on_its_own(results):
    summaries, rows = read_results_and_rows([results])
    cell = build_tables(summaries, profile="paper", rows=rows)[0].cells[
        "DGUNet (reproduced)", "Average", "PSNR"
    ]
    samples = [[row.psnr for row in read_result_and_rows(results / name)[1]] for name in RAIN_SETS]
    assert cell.value == pytest.approx(np.mean([np.mean(sample) for sample in samples]), rel=1e-12)
    expected = percentile_interval(samples, [0.2] * 5)
    assert [cell.low, cell.high] == pytest.approx(expected, abs=0.08 * (cell.high - cell.low))
    assert cell.low < cell.value < cell.high
    printed = published.table(1).cell("DGUNet", "Average", "PSNR").value
    assert (cell.verdict, cell.confidence) == ("differs", 0.95)
    assert cell.difference == pytest.approx(cell.value - printed, abs=1e-9)


def test_an_image_without_a_score_leaves_no_interval(summary):
    digest = "b" * 64
    content = summary("Rain100L", "DGUNet", per_image_sha256=digest)
    rows = made_rows("Rain100L", 100)
    tables = {
        name: build_tables([content], profile="paper", rows={digest: given})[0]
        for name, given in (("all", rows), ("one lacks", [*rows[1:], without_score(rows[0])]))
    }
    cells = {n: t.cells["DGUNet (reproduced)", "Rain100L", "PSNR"] for n, t in tables.items()}
    assert cells["all"].low is not None and cells["one lacks"].low is None
    assert cells["all"].verdict == cells["one lacks"].verdict


def without_score(row):
    content = vars(row) | {"psnr": None}
    return Row(**content)


# Everything that shows them.


def test_the_files_the_report_and_the_run_show_the_verdicts(results, tmp_path, monkeypatch):
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    made = {}
    for name in ("a", "b"):
        made[name] = make_tables("paper", results=[results], out=tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    found = explain_cell(cells_frame(made["a"]), 1, "DGUNet (reproduced)", "Average PSNR")
    assert found["verdict"] == "differs" and found["weights"] == "released"
    assert found["low"] < found["value"] < found["high"]
    assert "only floating-point arithmetic" in found["tolerance_reason"]
    lines = (tmp_path / "a" / "verdicts.csv").read_text().splitlines()
    assert len(lines) == 1 + len(cell_positions_of_ours())
    average = next(line for line in lines if "DGUNet (reproduced),Average,PSNR" in line)
    assert f"{found['value']:.4f}" in average and f"{found['low']:.4f}" in average
    page = write_report(made["a"], {}, tmp_path / "report.html").read_text()
    assert f"Verdicts on our cells: {headline(made['a'][:1])}." in page
    assert f"{found['low']:.4f} to {found['high']:.4f} (95% bootstrap over the images)" in page
    assert 'title="PSNR differs' in page and 'class="reproduced state-measured verdict-' in page
    assert describe(made["a"]).startswith(f"Verdicts on our cells: {headline(made['a'])}.")
    assert sum(count for _, count in count_verdicts(made["a"])) == len(cell_positions_of_ours())


def cell_positions_of_ours():
    return [
        (slot, metric)
        for table in published.tables()
        for slot in cell_positions.slots(table, "reproduced")
        for metric in table.metrics
    ]


def test_tables_without_results_are_written(tmp_path):
    write_tables(build_tables([], profile="paper"), tmp_path)
    assert "94 not run." in (tmp_path / "verdicts.md").read_text()
