"""The evaluation step: several processes, strips, parity, and mismatched weights or data."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from dgunet import network
from dgunet.data.store.manifest import StoreManifest
from dgunet.evaluation import network_evaluation, within_memory
from dgunet.evaluation.network_evaluation import (
    DEFAULTS,
    EvaluationOptions,
    EvaluationRequest,
    _backend,
    load_evaluation,
    run_evaluation,
)
from dgunet.evaluation.networks import TooLargeError
from dgunet.evaluation.parity import published_networks
from dgunet.evaluation.results import read_result
from dgunet.network.official import export_official, import_official
from dgunet.steps.evaluate import evaluate_test_set
from dgunet.system.errors import CheckpointError, ConfigError, DataError, EvaluationError

pytestmark = pytest.mark.usefixtures("silent")


@pytest.fixture
def run(params, small, weights):
    def evaluated(out, options, file=weights):
        (summary,) = evaluate_test_set(
            params.evaluation,
            "Rain100L",
            models={None: file},
            store=small.store("Rain100L"),
            out=out,
            options=options,
        )
        return summary

    return evaluated


def test_two_processes_give_the_results_of_one(run, tmp_path):
    alone = run(tmp_path / "one", DEFAULTS)
    shared = run(tmp_path / "two", EvaluationOptions(processes=2))
    assert shared == alone
    for name in ("per_image.parquet", "summary.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_parts_as_commands_give_the_results_of_one(run, weights, small, dgunet, tmp_path):
    run(tmp_path / "one", DEFAULTS)
    places = (
        "--checkpoint",
        weights,
        "--stores",
        small.store("Rain100L").parent,
        "--out",
        tmp_path / "two",
    )
    command = ("evaluate", "--sets", "Rain100L", *places)
    for number in (3, 1, 2):
        done = dgunet(*command, "--part", f"{number}/3")
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "two" / "Rain100L").exists(), "a part writes no result"
    assert "part 2 of 3" in done.stdout and "all are scored: run the same comm" in done.stdout
    assert dgunet(*command).returncode == 0
    (result,) = (path.parent for path in (tmp_path / "two").rglob("summary.json"))
    for name in ("per_image.parquet", "summary.json", "SHA256SUMS"):
        assert (tmp_path / "one" / name).read_bytes() == (result / name).read_bytes()
    refused = dgunet(*command, "--part", "4/3")
    assert refused.returncode == 1 and "part 4 of 3 does not exist" in refused.stderr
    together = dgunet(*command, "--part", "1/3", "--processes", 2)
    assert together.returncode == 1 and "A part is one process" in together.stderr


def test_a_budget_gives_strips_with_the_scores_of_whole_images(run, tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", DEFAULTS)
    monkeypatch.setattr(network_evaluation, "bytes_left", lambda limit, device: limit)
    summary = run(tmp_path / "strips", EvaluationOptions(memory=3 * 10**6))
    assert summary.psnr == pytest.approx(whole.psnr, abs=1e-4)
    assert (pd.read_parquet(tmp_path / "strips" / "per_image.parquet")["strips"] > 1).all()


def test_an_image_that_exceeds_the_memory_is_restored_in_strips(run, tmp_path, monkeypatch):
    def refuse(network, shape, budget):
        if shape[1] > 96:
            raise TooLargeError("too wide")

    monkeypatch.setattr(within_memory, "require_memory", refuse)
    run(tmp_path, DEFAULTS)
    rows = pd.read_parquet(tmp_path / "per_image.parquet")
    assert (rows.loc[rows["width"] > 96, "strips"] >= 1).all()
    assert rows.loc[rows["width"] <= 96, "strips"].isna().all()


def test_a_tiny_network_is_never_at_parity(run, tmp_path):
    summary = run(tmp_path, DEFAULTS)
    assert not summary.parity
    assert json.loads((tmp_path / "summary.json").read_text())["parity"] is False


@pytest.mark.parametrize(
    ("settings", "parity"),
    [
        ({"architecture": "released"}, True),
        ({"architecture": "paper"}, True),
        ({"architecture": "released", "dormant": False}, True),
        ({"architecture": "released", "n_feat": 8, "scale": 4, "last_width": 4}, False),
        ({"architecture": "released", "stages": 5}, False),
        ({"architecture": "paper", "fusion": "none"}, False),
    ],
    ids=str,
)
def test_only_published_networks_are_at_parity(small, tmp_path, settings, parity):
    weights = tmp_path / "network.safetensors"
    config = network.preset("derain", **settings)
    network.save_network(network.DGUNet(config), weights, {"selection": "last"})
    request = EvaluationRequest(
        dataset="Rain100L",
        profile="sample",
        row="DGUNet",
        published=published_networks("derain", "DGUNet"),
        weights=weights,
        store=small.store("Rain100L"),
        out=tmp_path / "out",
        unfinished=tmp_path / "unfinished",
    )
    assert load_evaluation(request).settings.faithful is parity


def test_the_origin_of_the_weights_is_in_the_summary(small, weights, run, tmp_path):
    """Imported weights are "released" until a training changes them."""
    metadata = network.load_network(weights)[1]
    assert metadata["train.dataset"] == "Rain13K"
    widths = {"n_feat": 8, "scale": 4, "last_width": 4}
    free = network.DGUNet(network.preset("derain", **widths))
    export_official(free, tmp_path / "DGUNet.pth")
    imported, origin = import_official(tmp_path / "DGUNet.pth", config=free.config)
    network.save_network(imported, tmp_path / "released.safetensors", origin)
    further = origin | {"train.data_digest": "a" * 64}
    network.save_network(imported, tmp_path / "further.safetensors", further)
    network.save_network(imported, tmp_path / "other.safetensors", {"selection": "last"})
    for name, origin_of, digest in (
        ("released", "released", ""),
        ("further", "trained", "a" * 64),
        ("other", "other", ""),
    ):
        summary = run(tmp_path / name, DEFAULTS, tmp_path / f"{name}.safetensors")
        assert (summary.weights, summary.training_digest) == (origin_of, digest)
        assert read_result(tmp_path / name) == summary
    summary = run(tmp_path / "trained", DEFAULTS, weights)
    rain = StoreManifest.read(small.store("Rain13K"))
    assert (summary.weights, summary.training_digest) == ("trained", rain.digest)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (network.preset("deblur", n_feat=8, scale=4, last_width=4), "task"),
        (network.preset("derain", "DGUNet+", n_feat=8, scale=4, last_width=4), "variant"),
    ],
)
def test_weights_of_another_row_are_refused(run, tmp_path, config, field):
    other = tmp_path / "other.safetensors"
    network.save_network(network.DGUNet(config), other, {})
    with pytest.raises(CheckpointError, match=f"network with {field}"):
        run(tmp_path / "out", DEFAULTS, other)


def test_a_store_of_another_dataset_is_refused(params, small, weights, tmp_path):
    with pytest.raises(DataError, match="holds Rain100L, not Rain100H"):
        evaluate_test_set(
            params.evaluation,
            "Rain100H",
            models={None: weights},
            store=small.store("Rain100L"),
            out=tmp_path,
        )


def rain100l(small, weights, home, out):
    """An evaluation of Rain100L into the folder ``out`` of ``home``."""
    return EvaluationRequest(
        dataset="Rain100L",
        profile="sample",
        row="DGUNet",
        published=[network.load_network(weights)[0].config],
        weights=weights,
        store=small.store("Rain100L"),
        out=home / out,
        unfinished=home / "unfinished",
    )


def test_a_killed_evaluation_continues_in_another_folder_of_results(small, weights, tmp_path):
    """Kubeflow Pipelines gives every execution a new folder."""
    request = rain100l(small, weights, tmp_path, "first")

    def die(done, total):
        if done == total - 1:
            raise KeyboardInterrupt

    loaded = load_evaluation(request)
    with pytest.raises(KeyboardInterrupt), loaded.alone():
        run_evaluation(loaded, on_progress=die)
    copy = tmp_path / "equal weights.safetensors"
    copy.write_bytes(weights.read_bytes())
    again = load_evaluation(replace(request, weights=copy, out=tmp_path / "second"))
    counts = []
    with again.alone():
        run_evaluation(again, on_progress=lambda done, total: counts.append((done, total)))
    assert counts == [(counts[0][1], counts[0][1])], "only the last image was restored"
    assert not (tmp_path / "first").exists() and not any((tmp_path / "unfinished").iterdir())


def test_another_backend_is_named_and_has_no_parity(small, weights, tmp_path):
    """Its scores are those of eager torch to 1e-4 dB, but only eager makes cells of the paper."""
    request = rain100l(small, weights, tmp_path, "eager")
    eager = run_evaluation(load_evaluation(request)).summary
    other = replace(request, out=tmp_path / "other", options=EvaluationOptions(backend="openvino"))
    made = run_evaluation(load_evaluation(other)).summary
    assert eager.parity
    assert "backend" not in json.loads((tmp_path / "eager" / "summary.json").read_text())
    assert not made.parity
    assert made.backend.startswith("openvino-20")
    assert f", by {made.backend}, no parity" in made.line()
    assert read_result(tmp_path / "other") == made
    tables = [pd.read_parquet(tmp_path / name / "per_image.parquet") for name in ("eager", "other")]
    assert (tables[0]["psnr"] - tables[1]["psnr"]).abs().max() <= 1e-4
    (tmp_path / "other" / "summary.json").write_text(json.dumps(made.to_dict() | {"parity": True}))
    with pytest.raises(EvaluationError, match="for the backend openvino"):
        read_result(tmp_path / "other")


def test_portable_kernels_are_those_of_eager_torch():
    options = EvaluationOptions(backend="openvino", kernels="portable")
    with pytest.raises(ConfigError, match=r"backend 'openvino' with .runtime.kernels: portable"):
        _backend(network.DGUNet(network.preset("derain", n_feat=8, scale=4)), options)
