"""Every part beside the steps is what a training does; their shares follow from the settings."""

import pytest

from benchmarks import upkeep
from benchmarks.upkeep import PARTS, STEP, prepared, shares, work
from dgunet.tracking import pending
from dgunet.tracking.home import TrackingFolders

SMALL = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 4}
SECONDS = dict(zip(PARTS, (3.0, 2.0, 0.3, 0.001), strict=True))
FORMS = (("derain DGUNet, 1 x 256x256", 10.0), ("cs DGUNet, 16 x 32x32", 1.0))


def rows(cases=FORMS):
    return [
        {
            "case": case,
            "candidate": part,
            "rounds": [{"cpu": [step, spent], "wall": [2 * step, spent]}] * 3,
        }
        for case, step in cases
        for part, spent in SECONDS.items()
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upkeep")
    (pair,) = prepared([p for p in upkeep.pairs("cpu", quick=False) if _is_record(p)], folder)
    assert pair.candidate.arguments["root"] == pair.baseline.arguments["root"] == str(folder)
    return folder


def _is_record(pair):
    return pair.candidate.arguments["task"] == "cs" and pair.candidate.name == upkeep.RECORD


def test_every_part_runs_as_in_a_training(root):
    for way in (STEP, *PARTS):
        work("cs", way, str(root), "cpu", **SMALL).run()
    assert len(list(root.rglob("step-000000001.ckpt"))) == 1
    journals = [path.read_text() for path in (root / ".dgunet").rglob("*.jsonl")]
    upkeep._STACK.close()
    assert any("gradient_norm" in text for text in journals)
    assert any("examples" in text for text in journals)
    assert len(list(pending(TrackingFolders.at(root)))) == 2


def test_the_shares_follow_from_the_settings():
    derain, deblur, denoise, cs = shares(rows(), "cpu")
    assert [one.images for one in (derain, deblur, denoise, cs)] == [137, 105, 6, 20]
    step = 16 * 10.0  # seconds of a batch; a checkpoint is due every 300 s
    assert list(derain.parts.values()) == pytest.approx(
        [137 * 3 / (5000 * step), 9 * 2 / (400_000 * step), 0.3 / 300, 0.001 / step]
    )
    assert cs.parts[upkeep.VALIDATION] == pytest.approx(20 * 3 / (3125 * 8 * 1.0))
    assert deblur.parts[upkeep.RECORD] < derain.parts[upkeep.RECORD] / 4  # of a wider network
    assert derain.together == sum(derain.parts.values())


def test_shares_need_every_part():
    without = [row for row in rows() if row["candidate"] != upkeep.CHECKPOINT]
    assert shares(without, "cpu") == []
    assert upkeep.derived(without, "cpu") is None
    lost = [row | {"not_run": "x"} for row in rows(FORMS[:1])] + rows(FORMS[1:])
    assert [one.task for one in shares(lost, "cpu")] == ["cs"]


def test_a_gpu_is_judged_by_the_clock():
    cpu, gpu = (shares(rows(), device)[0].parts[upkeep.RECORD] for device in ("cpu", "cuda"))
    assert gpu == pytest.approx(cpu / 2)
