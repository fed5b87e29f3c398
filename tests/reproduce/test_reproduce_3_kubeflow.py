"""The compiled pipeline's steps, run by kfp's local runner, give the numbers of `dvc repro`."""

import json
import sys

import pandas as pd
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.xdist_group("reproduce"),
]

SETS = ["Rain100L", "Test100"]

RUN = """
import json, sys
from pathlib import Path
from kfp import local
from pipelines.train_evaluate import train_evaluate

local.init(
    runner=local.SubprocessRunner(use_venv=False),
    pipeline_root=sys.argv[1],
    raise_on_error=True,
)
task = train_evaluate(
    params=Path("params.yaml").read_text(),
    data_root=str(Path("data/sample").resolve()),
    training_set="Rain13K",
    test_sets=json.loads(sys.argv[2]),
)
Path(sys.argv[1], "done.json").write_text(json.dumps({"tables": task.output.path}))
"""

NUMBERS = ["value", "data_digest", "checkpoint_sha256", "per_image_sha256", "protocol_version"]


def sample_cells(path):
    cells = pd.read_parquet(path / "cells.parquet")
    chosen = cells[(cells["state"] == "sample") & (cells["table"] == 1)]
    chosen = chosen[chosen["column"].isin(SETS)].set_index(["row", "column", "metric"])
    return chosen[NUMBERS].sort_index()


def test_local_pipeline_equals_dvc(reproduced, tmp_path):
    reproduced.run(
        *(sys.executable, "-c", RUN, str(tmp_path), json.dumps(SETS)),
        DGUNET_HOME=str(reproduced.home),
        DGUNET_TRACKING="off",
    )
    made = json.loads((tmp_path / "done.json").read_text())["tables"]
    ours = sample_cells(tmp_path.__class__(made))
    assert len(ours) == 2 * len(SETS)
    pd.testing.assert_frame_equal(ours, sample_cells(reproduced.home / "build/tables"))
