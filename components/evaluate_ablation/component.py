"""One network of Tables 5 and 6 on Rain100H: per-image metrics."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def evaluate_ablation(
    evaluation: str,
    name: str,
    code_version: str,
    image_digest: str,
    protocols: str,
    model: dsl.Input[dsl.Model],
    store: dsl.Input[dsl.Dataset],
    results: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Restore and score Rain100H with one variant of DGUNet+.

    Args:
        evaluation: what an evaluation reads of params.yaml, as JSON; no other setting changes it.
        name: name of the ablation, e.g. stages-9 or without-fgdm.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        protocols: every metric protocol with its version; the step refuses others.
        model: output of the train_ablation step, or the authors' DGUNet+ for deraining.
        store: the prepared Rain100H.
        results: per-image metrics and their summary; digests are in the metadata.
        metrics: PSNR (dB) and SSIM of the restored and of the degraded images.
    """
    from pathlib import Path

    from dgunet.config import parse_evaluation
    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.prepared_stores import find_store
    from dgunet.steps.evaluate import evaluate_ablation
    from dgunet.tracking.run_links import mlflow_run_facts

    check_pins(code=code_version, image=image_digest, protocols=protocols)
    summary = evaluate_ablation(
        parse_evaluation(evaluation),
        name,
        weights=Path(model.path) / "network.safetensors",
        store=find_store(Path(store.path)),
        out=Path(results.path),
    )
    facts = summary.to_dict() | mlflow_run_facts(summary.per_image_sha256)
    results.metadata.update({key: value for key, value in facts.items() if value is not None})
    for score in ("psnr", "ssim", "input_psnr", "input_ssim"):
        if facts[score] is not None:
            metrics.log_metric(score, facts[score])
