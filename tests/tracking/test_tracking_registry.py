"""Registered models are created once and promoted only if shown to be better."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from dgunet import network
from dgunet.cli import command
from dgunet.network.official import export_official, import_official
from dgunet.system import files
from dgunet.system.errors import CheckpointError, EvaluationError
from dgunet.tools.model_promotion import (
    COVERAGE,
    add_official,
    find_version,
    promote_if_better,
    register_trained,
    registered_name,
)
from dgunet.tracking import TrackingError, TrackingFolders, start_run
from dgunet.tracking import registered_versions as registered_versions_module
from dgunet.tracking.registered_versions import registered_versions
from dgunet.tracking.registry import Registry, Version

TINY: dict[str, Any] = {"n_feat": 8, "scale": 4, "stages": 3}
NAME = "dgunet-sample-derain"
ROOT = Path(__file__).parents[2]
BASE = np.random.default_rng(0).normal(28, 3, 16)


def train(folder: Path, seed: int, variant: str = "DGUNet") -> str:
    """Log a training run as the stage does; return the SHA-256 of its weights."""
    torch.manual_seed(seed)
    weights = folder / f"{seed}.safetensors"
    config = network.preset("derain", variant, **TINY)
    network.save_network(network.DGUNet(config), weights, {})
    checkpoint = files.sha256_file(weights)
    tags = {"stage": "train", "task": "derain", "profile": "sample", "variant": variant}
    with start_run("dgunet/table-1", f"train {seed}", tags=tags, params={}) as run:
        run.log_network(weights, f"derain-{seed}")
        run.set_result(checkpoint=checkpoint)
    return checkpoint


def evaluate(folder: Path, checkpoint: str, psnr: np.ndarray, dataset: str, **tags: str) -> None:
    """Log an evaluation run as the stage does."""
    rows = pd.DataFrame(
        {
            "id": [f"{n}.png" for n in range(len(psnr))],
            "psnr": psnr,
            "input_psnr": 20.0,
            "protocol": "rain-y",
            "protocol_version": 1,
        }
    )
    path = folder / "per_image.parquet"
    rows.to_parquet(path)
    facts = {
        "stage": "evaluate",
        "profile": "sample",
        "dataset": dataset,
        "data.digest": "d" * 64,
        "protocol": "rain-y/1",
        "parity": "false",
        "state": "partial",
        "checkpoint.sha256": checkpoint,
    }
    with start_run("dgunet/table-1", dataset, tags=facts | tags, params={}) as run:
        run.log_artifact(path)
        run.set_result(per_image=files.sha256_file(path))


@pytest.fixture
def registry(project: TrackingFolders) -> Registry:
    return Registry(project)


def test_best_moves_only_to_a_version_shown_to_be_better(
    project: TrackingFolders, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(tmp_path, 1)
    version = register_trained(registry, "derain", profile="sample", variant="DGUNet")
    assert (version.name, version.number, version.checkpoint) == (NAME, "1", first)
    again = register_trained(registry, "derain", profile="sample", variant="DGUNet")
    assert again.number == "1", "the same weights are the same version"
    with pytest.raises(EvaluationError, match="no evaluation"):
        promote_if_better(registry, version)
    for dataset in ("Rain100L", "Rain100H"):
        evaluate(tmp_path, first, BASE, dataset)
    outcome = promote_if_better(registry, version)
    assert outcome.promoted and outcome.baseline is None
    assert "better than the degraded images" in outcome.text()
    with pytest.raises(EvaluationError, match="already @best"):
        promote_if_better(registry, find_version(registry, NAME, "1"))

    second = train(tmp_path, 2)
    worse = register_trained(registry, "derain", profile="sample", variant="DGUNet")
    assert worse.number == "2"
    evaluate(tmp_path, second, BASE + 0.5, "Rain100L")
    with pytest.raises(
        EvaluationError, match="only one of the two versions was evaluated on Rain100H"
    ):
        promote_if_better(registry, worse)
    evaluate(tmp_path, second, BASE - 0.5, "Rain100H")
    assert not promote_if_better(registry, worse).promoted
    best = registry.with_alias(NAME, "best")
    assert best is not None and best.number == "1"

    third = train(tmp_path, 3, "DGUNet+")
    better = register_trained(registry, "derain", profile="sample", variant="DGUNet+")
    gains = np.random.default_rng(3).normal(0.3, 0.1, len(BASE))
    for dataset in ("Rain100L", "Rain100H"):
        evaluate(tmp_path, third, BASE + gains, dataset)
    assert promote_if_better(registry, better, dry_run=True).promoted
    assert registry.with_alias(NAME, "best") == best, "a dry run moves no alias"
    assert promote_if_better(registry, better).promoted
    assert find_version(registry, NAME, None).aliases == ("best", "candidate")
    described = registry.client.get_model_version(NAME, "3").description
    assert "Version 3 is better than" in described and "| Rain100L |" in described

    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(project.uri))
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@best")
    assert loaded.predict(np.zeros((1, 3, 16, 16), np.float32)).shape == (1, 3, 16, 16)
    (project.home / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    cli = CliRunner()
    refused = cli.invoke(command(), ["models", "promote", "derain", "--version", "2"])
    assert refused.exit_code == 1 and "not shown to be better than @best" in refused.output
    listing = cli.invoke(command(), ["models", "list"]).output
    assert "@best @candidate" in listing and third[:12] in listing


def test_a_set_of_infinite_difference_can_be_left_out_and_no_other(
    project: TrackingFolders, registry: Registry, tmp_path: Path
) -> None:
    """The option that the output names works, and is no way round a set that speaks against."""
    for seed in (1, 2):
        checkpoint = train(tmp_path, seed)
        version = register_trained(registry, "derain", profile="sample", variant="DGUNet")
        gains = BASE + np.random.default_rng(3).normal(0.3 * seed, 0.1, len(BASE))
        evaluate(tmp_path, checkpoint, gains, "Rain100H")
        if seed == 2:
            gains[0] = np.inf
        evaluate(tmp_path, checkpoint, gains, "Rain100L")
        if seed == 1:
            assert promote_if_better(registry, version).promoted
    refused = promote_if_better(registry, version)
    verdicts = {c.dataset: c.verdict for c in refused.compared}
    assert verdicts == {"Rain100L": "infinite difference", "Rain100H": "better"}
    assert not refused.promoted and "--without Rain100L" in refused.text()
    (project.home / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    words = ["models", "promote", "derain", "--without"]
    for name, message in (
        ("Rain100H", "its difference is finite, so it must be compared"),
        ("Rain12", "not among the compared sets"),
    ):
        with pytest.raises(EvaluationError, match=message):
            promote_if_better(registry, version, without=[name])
    done = CliRunner().invoke(command(), [*words, "Rain100L"])
    assert done.exit_code == 0, done.output
    described = registry.client.get_model_version(NAME, "2").description
    assert "Left out, because the difference is infinite: Rain100L (1 and 0 identical" in described
    assert "95 % interval" in described, "one set is left, with the whole confidence"
    assert COVERAGE in described


def test_the_listing_is_that_of_mlflow(
    project: TrackingFolders, registry: Registry, tmp_path: Path
) -> None:
    """It is read from the database; deleted versions are left out."""
    assert registered_versions(project) == []
    for seed in (1, 2, 3):
        train(tmp_path, seed)
        register_trained(registry, "derain", profile="sample", variant="DGUNet")
    registry.client.delete_model_version(NAME, "2")
    listed = registered_versions(project)
    assert listed == registry.versions(NAME)
    assert [(version.number, version.aliases) for version in listed] == [
        ("1", ()),
        ("3", ("candidate",)),
    ]


def test_a_database_with_other_tables_is_left_to_mlflow(
    project: TrackingFolders, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, 1)
    made = register_trained(registry, "derain", profile="sample", variant="DGUNet")

    def unknown(path: Path) -> list[Version]:
        raise sqlite3.OperationalError("no such column: current_stage")

    monkeypatch.setattr(registered_versions_module, "_read", unknown)
    (version,) = registered_versions(project)
    assert (version.uri, version.aliases) == (made.uri, ("candidate",))


def test_evaluations_on_different_data_are_not_compared(registry: Registry, tmp_path: Path) -> None:
    for seed, digest in ((1, "d" * 64), (2, "e" * 64)):
        checkpoint = train(tmp_path, seed)
        version = register_trained(registry, "derain", profile="sample", variant="DGUNet")
        evaluate(tmp_path, checkpoint, BASE, "Rain100L", **{"data.digest": digest})
        if seed == 1:
            promote_if_better(registry, version)
    with pytest.raises(EvaluationError, match="Rain100L: data_digest"):
        promote_if_better(registry, version)


def test_a_changed_results_table_is_refused(registry: Registry, tmp_path: Path) -> None:
    checkpoint = train(tmp_path, 1)
    version = register_trained(registry, "derain", profile="sample", variant="DGUNet")
    evaluate(tmp_path, checkpoint, BASE, "Rain100L")
    (kept,) = registry.folders.artifacts.rglob("per_image.parquet")
    kept.write_bytes(kept.read_bytes() + b" ")
    with pytest.raises(TrackingError, match="was changed: its digest differs"):
        promote_if_better(registry, version)


def test_only_imported_weights_of_the_authors_become_official(
    registry: Registry, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.safetensors"
    net = network.DGUNet(network.preset("derain", **TINY | {"stages": 7}))
    network.save_network(net, ours, {})
    with pytest.raises(CheckpointError, match="not imported"):
        add_official(registry, ours)
    export_official(net, tmp_path / "DGUNet.pth")
    imported, origin = import_official(tmp_path / "DGUNet.pth", config=net.config)
    network.save_network(imported, tmp_path / "official.safetensors", origin)
    version = add_official(registry, tmp_path / "official.safetensors")
    assert (version.name, version.number) == ("dgunet-derain", "1")
    assert registry.with_alias("dgunet-derain", "official") is not None


def test_registered_names_differ_by_profile_and_ratio() -> None:
    assert registered_name("derain", "paper") == "dgunet-derain"
    assert registered_name("cs", "sample", 10) == "dgunet-sample-cs-r10"
