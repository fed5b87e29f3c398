"""The established overlaps against the real images, if DGUNET_BENCHMARKS is set."""

import pytest
from typer.testing import CliRunner

from dgunet.cli.data_commands import data
from dgunet.data.catalogue.overlaps import read_overlaps
from dgunet.paper.overlaps import known_overlaps


@pytest.mark.benchmarks_data
def test_the_established_overlaps_are_those_of_the_real_images(benchmarks, tmp_path):
    root = tmp_path / "root"
    (root / "Rain100H").mkdir(parents=True)
    (root / "Rain100H" / "input").symlink_to(benchmarks / "Rain100H" / "input")
    (root / "Rain100H" / "target").symlink_to(benchmarks / "Rain100L" / "target")
    for name in ("Rain100L", "Set11", "BSD68", "BSD400"):
        (root / name).symlink_to(benchmarks / name)
    (root / "Rain13K").symlink_to(benchmarks / "Rain13K_train_sample")
    out = tmp_path / "overlaps.json"
    result = CliRunner().invoke(data, ["check", "--root", str(root), "--overlaps", str(out)])
    assert result.exit_code == 0, result.output
    assert f"8 pairs of training and test sets in {out}" in result.output
    found = {(r.train, r.test): r for r in read_overlaps(out)}
    for entry in known_overlaps().records:
        assert found[entry.train, entry.test] == entry.model_copy(
            update={"found": found[entry.train, entry.test].found}
        )
        assert " ".join(entry.found.split()) == found[entry.train, entry.test].found
    assert len(found["BSD400", "Rain100L"].images) == 75
