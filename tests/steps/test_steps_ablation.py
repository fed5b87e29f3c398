"""The ablations: trained by one step, evaluated by another."""

import json

import pytest

from dgunet import network
from dgunet.evaluation.network_evaluation import EvaluationOptions
from dgunet.evaluation.results import read_result
from dgunet.project import ProjectFolders
from dgunet.steps.evaluate import evaluate_ablation
from dgunet.steps.evaluation_plan import plan_ablation
from dgunet.steps.prepare import prepare_store
from dgunet.steps.train import train_ablation
from dgunet.system.errors import CheckpointError, ConfigError, DataError
from dgunet.terms import ABLATION_SET

pytestmark = pytest.mark.usefixtures("silent")


@pytest.fixture(scope="module")
def trained(small, params, sample_root, tmp_path_factory):
    """Parameters, weights of ``stages-3`` after two steps, its curves, and a prepared Rain100H."""
    out, record, test_set = (
        tmp_path_factory.mktemp(name) for name in ("network", "curves", "Rain100H")
    )
    active = params.sample
    short = active.ablate.model_copy(update={"iterations": 2, "warmup": 1})
    params = params.model_copy(update={"sample": active.model_copy(update={"ablate": short})})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGUNET_HOME", str(small.home))
        patch.setenv("DGUNET_TRACKING", "off")
        prepare_store("sample", ABLATION_SET, root=sample_root, out=test_set / "store")
        weights = train_ablation(
            params, "stages-3", store=small.store("Rain13K"), out=out, record=record
        )
    return params, weights, record, test_set / "store"


def test_a_training_writes_the_files_of_a_training_and_no_scores(trained):
    _, weights, record, _ = trained
    names = {path.name for path in weights.parent.iterdir()}
    assert names == {"network.safetensors", "loss.csv", "training.json"}
    config = network.load_network(weights)[0].config
    assert (config.variant, config.stages) == ("DGUNet+", 3)
    assert (record / "loss/ablation-stages-3.csv").read_text().count("\n") == 3
    assert (record / "charts/ablation-stages-3.svg").is_file()


def test_an_evaluation_takes_any_weights_of_the_ablation(trained, tmp_path):
    params, weights, _, store = trained
    more = {"weights": weights, "store": store}
    summary = evaluate_ablation(
        params.evaluation, "stages-3", out=tmp_path / "out", record=tmp_path / "scores", **more
    )
    assert (summary.row, summary.dataset, summary.weights) == ("stages-3", "Rain100H", "trained")
    assert read_result(tmp_path / "out") == summary
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("summary.json", "per_image.parquet", "restored", "SHA256SUMS")
    }
    scores = json.loads((tmp_path / "scores/Rain100H-stages-3.json").read_text())
    assert scores["psnr"] == summary.psnr
    again = evaluate_ablation(
        params.evaluation,
        "stages-3",
        out=tmp_path / "two",
        options=EvaluationOptions(processes=2),
        **more,
    )
    assert again == summary


def test_weights_of_another_variant_are_refused(trained, weights, tmp_path):
    params, _, _, store = trained
    with pytest.raises(CheckpointError, match="variant"):
        evaluate_ablation(
            params.evaluation, "stages-3", weights=weights, store=store, out=tmp_path / "out"
        )


def test_the_plan_names_what_is_missing_before_anything_is_restored(tmp_path):
    small = ProjectFolders(tmp_path)
    with pytest.raises(ConfigError, match="unknown ablation 'stages-8'"):
        plan_ablation("stages-8", small)
    with pytest.raises(DataError, match="Rain100H"):
        plan_ablation("stages-9", small, checkpoint=tmp_path / "mine.safetensors")
    small.store(ABLATION_SET).mkdir(parents=True)
    (small.store(ABLATION_SET) / "manifest.json").touch()
    with pytest.raises(CheckpointError, match="ablation-stages-9"):
        plan_ablation("stages-9", small)
    with pytest.raises(ConfigError, match="published no weights of stages-9"):
        plan_ablation("stages-9", small.using("released"))
    with pytest.raises(CheckpointError, match=r"released.derain-DGUNet\+"):
        plan_ablation("stages-7", small.using("released"))
    (tmp_path / "mine.safetensors").touch()
    planned = plan_ablation("stages-9", small, checkpoint=tmp_path / "mine.safetensors")
    assert planned.out == small.ablation("stages-9")
