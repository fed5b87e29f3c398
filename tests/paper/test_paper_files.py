"""The written tables, the report and the explanation of a cell."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from report_pages import Page

from dgunet.paper.explain import explain_cell
from dgunet.paper.formats import cells_frame, latex_escape, write_tables
from dgunet.paper.generated_table import SAMPLE_NOTICE
from dgunet.paper.html_report import RunLink, write_report
from dgunet.paper.report_images import Figure, FigureGroup, Panel, centre_crop
from dgunet.paper.table_building import build_tables
from dgunet.paper.written_tables import read_cells
from dgunet.system.errors import DgunetError
from dgunet.system.files import sha256_file
from dgunet.system.seals import SEAL

Campaign = Callable[[str], list[dict[str, Any]]]
KINDS = ("csv", "md", "tex", "parquet")


@pytest.fixture(params=["sample", "paper"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_same_summaries_give_the_same_bytes(
    campaign: Campaign, profile: str, tmp_path: Path
) -> None:
    for name, summaries in (("a", campaign(profile)), ("b", campaign(profile)[::-1])):
        tables = build_tables(summaries, profile=profile)
        write_tables(tables, tmp_path / name)
        write_report(tables, {}, tmp_path / name / "report.html")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 6 * 4 + 2 + 3 + 4, "tables; verdicts; twins; cells, index, seal and report"
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_every_file_contains_profile_digest_and_sample_notice(
    campaign: Campaign, profile: str, tmp_path: Path
) -> None:
    tables = build_tables(campaign(profile), profile=profile)
    write_tables(tables, tmp_path)
    write_report(tables, {}, tmp_path / "report.html")
    for table in tables:
        for kind in KINDS:
            path = tmp_path / f"table{table.number}.{kind}"
            text = str(pq.read_schema(path).metadata) if kind == "parquet" else path.read_text()
            assert table.data_digest in text, path.name
            assert profile in text, path.name
            assert (SAMPLE_NOTICE in text) == (profile == "sample"), path.name
    for name in ("index.json", "report.html"):
        assert (SAMPLE_NOTICE in (tmp_path / name).read_text()) == (profile == "sample")


def test_csv_shows_published_and_reproduced_values(campaign: Campaign, tmp_path: Path) -> None:
    summaries = campaign("paper")
    write_tables(build_tables(summaries, profile="paper"), tmp_path)
    with (tmp_path / "table2.csv").open(newline="") as handle:
        lines = {line["Method"]: line for line in csv.DictReader(handle)}
    assert lines["DGUNet (published)"]["GoPro SSIM"] == "0.960"
    assert lines["Shen et al. [58]"]["GoPro PSNR"] == "-"
    ours = next(s for s in summaries if s["dataset"] == "HIDE" and s["row"] == "DGUNet")
    assert lines["DGUNet (reproduced)"]["HIDE PSNR"] == f"{ours['psnr']:.2f}"
    with (tmp_path / "table4.csv").open(newline="") as handle:
        first = next(csv.DictReader(handle))
    assert first["DGUNet+ (published) PSNR/SSIM"] == "22.15/0.6114"


def test_parquet_keeps_full_values_and_provenance(campaign: Campaign, tmp_path: Path) -> None:
    summaries = campaign("paper")
    tables = build_tables(summaries, profile="paper")
    write_tables(tables, tmp_path)
    cells = read_cells(tmp_path / "cells.parquet")
    assert cells.equals(cells_frame(tables))
    assert len(cells) == sum(len(table.cells) for table in tables)
    ours = next(s for s in summaries if s["dataset"] == "GoPro" and s["row"] == "DGUNet+")
    chosen = (
        (cells["dataset"] == "GoPro") & (cells["key"] == "DGUNet+") & (cells["metric"] == "PSNR")
    )
    line = cells[chosen].iloc[0]
    for key in ("data_digest", "checkpoint_sha256", "images", "per_image_sha256", "profile"):
        assert line[key] == ours[key]
    assert line["value"] == ours["psnr"]


def test_the_index_lists_every_file_with_its_digest(campaign: Campaign, tmp_path: Path) -> None:
    index = json.loads(
        write_tables(build_tables(campaign("paper"), profile="paper"), tmp_path).read_text()
    )
    files = [file for table in index["tables"] for file in table["files"].values()]
    files += [*index["verdicts"]["files"].values(), *index["twins"]["files"].values()]
    files.append(index["cells"])
    assert {file["path"] for file in files} == {p.name for p in tmp_path.iterdir()} - {
        "index.json",
        SEAL,
    }
    for file in files:
        assert sha256_file(tmp_path / file["path"]) == file["sha256"]
    assert index["tables"][2]["our_cells"] == {"measured": 4, "waiting for the server": 4}


def test_latex_is_balanced_and_escaped(campaign: Campaign, tmp_path: Path) -> None:
    write_tables(build_tables(campaign("sample"), profile="sample"), tmp_path)
    text = (tmp_path / "table4.tex").read_text()
    assert r"Set11 1\% & 17.42/0.4029" in text
    assert r"\textbf{22.15/0.6114}" in text and r"\underline{22.09/0.6096}" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    heads = text.split(r"\toprule")[1].split(r"\midrule")[0]
    assert {line.count(" & ") for line in body} == {heads.count(" & ")} == {11}
    assert latex_escape("a_b&50% {x}\\") == r"a\_b\&50\% \{x\}\textbackslash{}"


def test_explain_gives_value_difference_and_provenance(campaign: Campaign) -> None:
    cells = cells_frame(build_tables(campaign("paper"), profile="paper"))
    found = explain_cell(cells, 1, "DGUNet+ (reproduced)", "Rain100L PSNR")
    assert found["published"] == "38.25" and found["state"] == "measured"
    assert found["difference"] == pytest.approx(found["value"] - 38.25)
    assert (found["images"], found["protocol"], found["profile"]) == (100, "some-protocol", "paper")
    assert explain_cell(cells, 6, "PSNR (reproduced)", "w/o SP")["key"] == "without-sp"
    assert explain_cell(cells, 1, "MPRNet [79]", "Rain100L PSNR")["difference"] is None
    json.dumps(found)


def test_explain_never_compares_a_sample_with_the_paper(campaign: Campaign) -> None:
    cells = cells_frame(build_tables(campaign("sample"), profile="sample"))
    found = explain_cell(cells, 1, "DGUNet+ (sample, not comparable)", "Rain100L PSNR")
    assert (found["state"], found["published"], found["difference"]) == ("sample", None, None)


@pytest.mark.parametrize(
    ("table", "row", "column", "message"),
    [
        (9, "", "", "The tables are 1, 2, 3, 4, 5, 6"),
        (1, "DGUNet", "Rain100L PSNR", r"no row 'DGUNet'.*'DGUNet \(published\)'"),
        (1, "DGUNet (published)", "Rain100L", "no column 'Rain100L'.*'Rain100L PSNR'"),
    ],
)
def test_explain_lists_the_valid_names(
    campaign: Campaign, table: int, row: str, column: str, message: str
) -> None:
    cells = cells_frame(build_tables(campaign("paper"), profile="paper"))
    with pytest.raises(DgunetError, match=message):
        explain_cell(cells, table, row, column)


def test_report_is_self_contained_and_links_each_number_to_its_run(
    campaign: Campaign, tmp_path: Path
) -> None:
    summaries = campaign("paper")
    gopro = next(s for s in summaries if s["dataset"] == "GoPro" and s["row"] == "DGUNet")
    sidd = next(s for s in summaries if s["dataset"] == "SIDD" and s["row"] == "DGUNet")
    hide = next(s for s in summaries if s["dataset"] == "HIDE" and s["row"] == "DGUNet")
    links = {
        gopro["per_image_sha256"]: RunLink(
            "run<7>", "http://localhost:5000/run7", commit="abc123", dirty=True
        ),
        sidd["per_image_sha256"]: RunLink("run8", "javascript:alert(1)", "def456", dirty=False),
        hide["per_image_sha256"]: RunLink("run9", None, "fed789", dirty=None),
    }
    tables = build_tables(summaries, profile="paper")
    text = write_report(tables, links, tmp_path / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert set(page.targets) <= set(page.ids)
    assert {a for a in page.addresses if not a.startswith("#")} == {"http://localhost:5000/run7"}
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert "run&lt;7&gt;" in text and "abc123 with uncommitted changes" in text
    assert "def456" in text and "fed789" in text
    assert text.count("with uncommitted changes") == text.count("abc123")
    for summary in summaries:
        assert summary["checkpoint_sha256"] in text
        assert summary["data_digest"] in text
    assert f'<span class="change">{gopro["psnr"] - 32.71:+.3f}</span>' in text
    assert "32.71" in text and f"{gopro['psnr']:.6f} (the paper: 32.71)" in text


def test_report_shows_its_date_and_crops_of_test_images(campaign: Campaign, tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 300 * 300, dtype=np.float32).reshape(300, 300, 1)
    figure = Figure("best: image Barbara", (Panel("true", centre_crop(ramp)),))
    group = FigureGroup(4, "Set11, DGUNet, 10 %", (figure,))
    tables = build_tables(campaign("paper"), profile="paper")
    page = write_report(
        tables, {}, tmp_path / "r.html", figures=[group], written="Written on 2026-01-02"
    ).read_text()
    assert "Written on 2026-01-02." in page
    before, _, after = page.partition('<h2 id="head4">')
    assert "Barbara" not in before
    assert "Barbara" in after.partition('<h2 id="head5">')[0]
    code = base64.b64decode(re.search(r'src="data:image/\w+;base64,([^"]+)"', page).group(1))
    with Image.open(io.BytesIO(code)) as image:
        crop = np.asarray(image)
    assert crop.shape == (256, 256, 3)
    assert crop[0, 0, 0] == round(float(ramp[22, 22, 0]) * 255)
