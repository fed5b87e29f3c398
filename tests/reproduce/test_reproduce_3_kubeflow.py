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
from dgunet.kubeflow.placing import Place
from dgunet.stages.pins import code_version, protocol_versions
from pipelines.train_evaluate import build

local.init(
    runner=local.SubprocessRunner(use_venv=False),
    pipeline_root=sys.argv[1],
    raise_on_error=True,
)
build(Place())(
    params=Path("params.yaml").read_text(),
    data_source=str(Path("data/sample").resolve()),
    data_version="the sample",
    code_version=code_version(),
    protocols=protocol_versions(),
    training_set="Rain13K",
    test_sets=json.loads(sys.argv[2]),
)
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
    (made,) = tmp_path.glob("*/tables/tables")
    ours = sample_cells(made)
    assert len(ours) == 2 * len(SETS)
    pd.testing.assert_frame_equal(ours, sample_cells(reproduced.home / "build/tables"))
