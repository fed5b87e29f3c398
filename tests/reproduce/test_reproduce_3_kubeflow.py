"""The whole pipeline, run by kfp's local runner, gives the same cells as `dvc repro`."""

import pandas as pd
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("reproduce"),
]

CELL = ["table", "row", "column", "metric"]
NUMBERS = [
    *("state", "value", "data_digest", "checkpoint_sha256"),
    *("per_image_sha256", "protocol", "protocol_version"),
]


def cells(path):
    return pd.read_parquet(path).set_index(CELL)[NUMBERS].sort_index()


def test_the_local_pipeline_equals_dvc_cell_by_cell(reproduced):
    output = reproduced.run("dgunet", "pipeline", "run", "reproduce", DGUNET_TRACKING="off")
    (made,) = (reproduced.home / "build/pipelines").glob("local-*/tables/cells.parquet")
    ours = cells(made)
    filled = ours[ours["state"] == "sample"].reset_index()
    assert {*filled["table"]} == {*range(1, 7)}
    pd.testing.assert_frame_equal(ours, cells(reproduced.home / "build/tables/cells.parquet"))
    assert str(made.parent) in output
