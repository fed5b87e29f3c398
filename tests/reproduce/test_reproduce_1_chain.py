"""The whole chain in a fresh clone: results, provenance, reports and README commands."""

import json
import re
import shlex
import shutil
from collections import defaultdict
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from help_examples import NEEDS_A_PROJECT
from nbclient import NotebookClient
from PIL import Image
from printed_commands import FOR_A_PROJECT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.xdist_group("reproduce"),
]

RATIOS = (1, 4, 10, 25, 50)


def summaries(clone, folder):
    return [
        json.loads(path.read_text())
        for path in sorted((clone.home / "build" / folder).rglob("summary.json"))
    ]


NOTEBOOKS = sorted(path.stem for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def test_a_second_repro_does_nothing(reproduced):
    assert "Data and pipelines are up to date." in reproduced.run("dvc", "repro")


def test_nothing_that_the_tables_need_is_out_of_date(reproduced):
    """A plain `dvc status` also lists the stages of the weights that are not chosen."""
    assert "up to date" in reproduced.run("dvc", "status", "--with-deps", "tables")
    released = re.findall(r"^(\S+):$", reproduced.run("dvc", "status"), re.MULTILINE)
    assert {name.partition(":")[0] for name in released} == {"pipelines/released/dvc.yaml"}


def test_twelve_sets_and_five_ratios_were_scored(reproduced):
    found = {(s["dataset"], s["ratio"]) for s in summaries(reproduced, "evaluation")}
    plain = [
        "Test100",
        "Rain100H",
        "Rain100L",
        "Test2800",
        "Test1200",
        "GoPro",
        "HIDE",
        "RealBlur-J",
        "SIDD",
        "DND",
    ]
    sampled = {(name, ratio) for name in ("Set11", "BSD68") for ratio in RATIOS}
    assert found == {(name, None) for name in plain} | sampled


def test_nine_ablations_were_scored(reproduced):
    rows = {s["row"] for s in summaries(reproduced, "ablations")}
    assert rows == {
        *("stages-9", "stages-7", "stages-5", "stages-3", "scales-2", "scales-1"),
        *("without-fgdm", "without-sp", "without-isff"),
    }


def test_training_lowers_the_loss_of_every_network(reproduced):
    curves = sorted((reproduced.home / "build").rglob("loss.csv"))
    assert len(curves) == 3 + 5 + 9
    for path in curves:
        loss = pd.read_csv(path)["loss"]
        # Single steps are too noisy: an ablation has about a dozen steps with two crops each.
        first, last = loss[: len(loss) // 4].mean(), loss[len(loss) // 2 :].mean()
        assert last < (0.8 if path.parent.name.startswith("ablation-") else 0.6) * first, path


@pytest.mark.parametrize("task", ["derain", "deblur", "denoise", "cs"])
def test_restored_images_beat_the_degraded_ones(reproduced, task):
    gains = defaultdict(list)
    for summary in summaries(reproduced, "evaluation"):
        if summary["psnr"] is not None:
            gains[summary["task"]].append(summary["psnr"] - summary["input_psnr"])
    assert gains[task]
    assert sum(gains[task]) / len(gains[task]) > 0


def test_the_tables_have_four_formats_and_are_marked_as_sample(reproduced):
    for number in range(1, 7):
        for kind in ("csv", "md", "tex"):
            text = reproduced.read(f"build/tables/table{number}.{kind}")
            assert "SAMPLE PROFILE - not comparable with the paper" in text
        long = pd.read_parquet(reproduced.home / f"build/tables/table{number}.parquet")
        assert set(long["tables_profile"]) == {"sample"}


def test_a_sample_run_fills_no_reproduced_cell(reproduced):
    cells = pd.read_parquet(reproduced.home / "build/tables/cells.parquet")
    states = set(cells.loc[cells["row"].str.contains("reproduced"), "state"])
    assert "measured" not in set(cells["state"])
    assert states <= {"not run", "waiting for the server"}
    sample = cells[cells["state"] == "sample"]
    assert len(sample) > 30
    assert sample["checkpoint_sha256"].str.fullmatch("[0-9a-f]{64}").all()


def test_explain_traces_a_cell_to_its_run(reproduced):
    output = reproduced.run(
        *("dgunet", "explain", "1", "DGUNet (sample, not comparable)", "Rain100L PSNR")
    )
    commit = reproduced.run("git", "rev-parse", "HEAD").strip()
    for fact in ("run_id", commit, "checkpoint_sha256", "data_digest", "rain-y"):
        assert fact in output


def test_dvc_shows_one_row_of_scores_for_each_evaluation(reproduced):
    lines = reproduced.run("dvc", "metrics", "show").splitlines()
    assert lines[0].split() == ["Path", "input_psnr", "input_ssim", "psnr", "ssim"]
    assert len(lines) == 1 + 20 + 9
    assert max(map(len, lines)) <= 100
    shown = json.loads(reproduced.run("dvc", "metrics", "show", "--json"))
    scores = next(iter(shown.values()))["data"]
    (summary,) = [
        s for s in summaries(reproduced, "evaluation") if (s["dataset"], s["ratio"]) == ("Set11", 4)
    ]
    assert scores["results/sample/trained/Set11-DGUNet-r4.json"]["data"]["psnr"] == summary["psnr"]


def test_dvc_shows_curves_also_without_a_network(reproduced):
    reproduced.run("dvc", "plots", "show", "--out", "plots")
    page = reproduced.read("plots/index.html")
    charts = re.findall(r'<img src="([^"]+)"', page)
    assert len(charts) == 3 + 5 + 9
    for chart in charts:
        assert "training loss of" in reproduced.read(f"plots/{chart}")
    assert page.count("vegaEmbed(") == 3 + 5 + 9 + 2, "each curve, and two charts of all"


def test_results_are_compared_with_those_of_the_commit(reproduced):
    """The committed ones may come from another kind of CPU, so equality is not asserted."""
    report = reproduced.run("dgunet", "report")
    (found,) = re.findall(r"(\d+) of (\d+) cells equal the committed values", report)
    assert int(found[1]) == 2 * (19 + 9)
    assert ("CPU" in report) is (found[0] != found[1])
    assert "bit for bit" in report.splitlines()[-1]
    diff = json.loads(reproduced.run("dvc", "metrics", "diff", "--all", "--json"))
    values = diff["results/sample/trained/Rain100L-DGUNet.json"]["psnr"]
    assert values["old"] > 0 and values["new"] > 0
    reproduced.run("dvc", "plots", "diff", "HEAD", "--out", "plots-diff")
    assert 'src="static/HEAD_' in reproduced.read("plots-diff/index.html")


def test_the_networks_are_dvc_artifacts(reproduced):
    stated = re.findall(r"path: (build/models/\S+)", reproduced.read("dvc.yaml"))
    assert len(stated) == 8
    for path in stated:
        path = path.replace("${weights}", "trained").replace("${variants[0]}", "DGUNet")
        assert (reproduced.home / path).is_file()


def test_the_report_is_self_contained(reproduced):
    page = reproduced.read("build/report.html")
    assert "SAMPLE PROFILE" in page
    for outside in ("<script src", 'src="http', "@import", "fetch("):
        assert outside not in page
    for name in ("Test100, DGUNet", "GoPro, DGUNet", "SIDD, DGUNet", "Set11, DGUNet, 10 %"):
        for rank in ("best", "median", "worst"):
            assert re.search(rf'alt="{name}, [^"]*{rank}[^"]*: true"', page), (name, rank)
    assert page.count(": stage 7") == 4, "the stages of one image of each task"
    assert len(page.encode()) < 10_000_000


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebooks_run_and_are_committed_without_outputs(reproduced, name):
    notebook = nbformat.read(reproduced.home / "notebooks" / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    here = {"metadata": {"path": str(reproduced.home)}}
    NotebookClient(notebook, timeout=120, resources=here).execute(env=reproduced.env)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [o["text"] for o in outputs if o.get("name") == "stderr"] == []


def readme_commands():
    """Return the `dgunet` and `dvc` lines of the README's shell blocks, except experiments."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and line[0] in ("dgunet", "dvc") and "exp" not in line]


@pytest.mark.parametrize("command", readme_commands(), ids=" ".join)
def test_the_readme_s_commands_run(reproduced, command):
    reproduced.run(*command)


@pytest.mark.parametrize("line", sorted({*NEEDS_A_PROJECT, *FOR_A_PROJECT}))
def test_the_commands_of_help_and_docs_run(reproduced, line):
    """Those of the help that need results, and all of the docs but for those with a reason."""
    pairs = reproduced.home / "data" / "sample" / "test" / "Rain100L"
    for name, origin in (("my_images", pairs / "input"), ("Rain100L", pairs)):
        if not (reproduced.home / name).exists() and name in line:
            shutil.copytree(origin, reproduced.home / name)
    if "photograph.tif" in line:
        Image.open(min((pairs / "input").iterdir())).save(reproduced.home / "photograph.tif")
    shutil.rmtree(reproduced.home / "restored", ignore_errors=True)
    reproduced.run(*shlex.split(line), DGUNET_TRACKING="off")
    (reproduced.home / "photograph.tif").unlink(missing_ok=True)
    for name in ("my_images", "Rain100L", "restored"):
        shutil.rmtree(reproduced.home / name, ignore_errors=True)
