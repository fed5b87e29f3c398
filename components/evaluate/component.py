"""One network on one test set: per-image metrics under the column's protocol."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def evaluate(
    evaluation: str,
    dataset: str,
    variant: str,
    ratio: int,
    code_version: str,
    image_digest: str,
    protocols: str,
    store: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    results: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Restore and score one test set.

    Args:
        evaluation: what an evaluation reads of params.yaml, as JSON; no other setting changes it.
        dataset: a test set of the catalogue.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, 0 for the other tasks.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        protocols: every metric protocol with its version; the step refuses others.
        store: the prepared test set.
        model: output of the train step, or a folder with network.safetensors.
        results: per-image metrics and their summary, with digests in the metadata.
        metrics: PSNR (dB) and SSIM of the restored and of the degraded images.

    Returns:
        "measured", "partial" or "waiting for the server" (DND).
    """
    from pathlib import Path

    from dgunet.config import parse_evaluation
    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.prepared_stores import find_store
    from dgunet.steps.evaluate import evaluate_test_set
    from dgunet.tracking.run_links import mlflow_run_facts

    check_pins(code=code_version, image=image_digest, protocols=protocols)
    (summary,) = evaluate_test_set(
        parse_evaluation(evaluation),
        dataset,
        variant=variant,
        models={ratio or None: Path(model.path) / "network.safetensors"},
        store=find_store(Path(store.path)),
        out=Path(results.path),
    )
    facts = summary.to_dict() | mlflow_run_facts(summary.per_image_sha256)
    results.metadata.update({key: value for key, value in facts.items() if value is not None})
    for name in ("psnr", "ssim", "input_psnr", "input_ssim"):
        if facts[name] is not None:
            metrics.log_metric(name, facts[name])
    return summary.state
