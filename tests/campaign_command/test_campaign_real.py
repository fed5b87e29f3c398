"""From an empty project to complete cells of the real sets; about an hour on two CPU cores.

The sets come file by file from a stand-in for GitHub, the networks in the authors' archives from
one for Google Drive. The networks have the published size and random weights, so the cells are
complete ("measured") and far from the published values ("differs").
"""

import os
import signal
from pathlib import Path

import pytest
import stand_in

from dgunet.campaign.ledger import Ledger

pytestmark = [
    pytest.mark.benchmarks_data,
    pytest.mark.timeout(6 * 3600),
    pytest.mark.skipif(
        os.environ.get("DGUNET_TEST_CAMPAIGN") != "1" or "DGUNET_BENCHMARKS" not in os.environ,
        reason="an hour or more: set DGUNET_TEST_CAMPAIGN=1 and DGUNET_BENCHMARKS",
    ),
]

COLUMNS = ("Rain100L", "Rain100H", "Set11 10%", "BSD68 10%")


def test_an_empty_project_ends_in_complete_cells_of_the_real_sets(empty, net, tmp_path):
    stand_in.serve_git_trees(net, Path(os.environ["DGUNET_BENCHMARKS"]))
    net.drive[stand_in.RGB] = stand_in.rgb_archive(tmp_path, ("derain", "DGUNet"))
    net.drive[stand_in.CS] = stand_in.cs_archive(tmp_path, 10)
    chosen = [part for column in COLUMNS for part in ("--column", column)]
    command = ("--rows", "DGUNet", *chosen, "--accept-licence")
    for rows, number in ((3, signal.SIGKILL), (6, signal.SIGINT)):
        process = empty.start(*command)
        empty.wait_for_rows(process, rows)
        process.send_signal(number)
        process.communicate()
    empty.run(*command, seconds=5 * 3600)
    cells = empty.cells() | empty.cells_of_table_4()
    for column, images in zip(COLUMNS, (100, 100, 11, 68), strict=True):
        for metric in ("PSNR", "SSIM"):
            cell = cells[column, metric]
            assert (cell["state"], cell["images"], cell["weights"]) == (
                *("measured", images, "released"),
            )
            assert cell["verdict"] == "differs"
    events = [(entry.step, entry.event) for entry in Ledger(empty.folder()).entries]
    assert sum(event == ("fetch Rain100H", "done") for event in events) == 1
    assert ("evaluate Rain100H DGUNet", "interrupted") in events
    report = (empty.folder() / "report.html").read_text()
    assert "differs" in report
