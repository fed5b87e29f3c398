"""One network of Tables 5 and 6 with the authors' weights, evaluated on Rain100H."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def score_ablation(
    params: str,
    name: str,
    code_version: str,
    image_digest: str,
    protocols: str,
    model: dsl.Input[dsl.Model],
    test_store: dsl.Input[dsl.Dataset],
    results: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Restore and score Rain100H with the authors' weights of an ablation; nothing is trained.

    Args:
        params: the text of params.yaml.
        name: name of an ablation whose weights the authors published: stages-7.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        protocols: every metric protocol with its version; the step refuses others.
        model: the authors' DGUNet+ for deraining.
        test_store: the prepared Rain100H.
        results: per-image metrics and their summary; digests are in the metadata.
        metrics: PSNR (dB) and SSIM of the restored and of the degraded images.
    """
    from pathlib import Path

    from dgunet.config import parse_params
    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.steps.ablate import score_released_ablation
    from dgunet.tracking.run_links import mlflow_run_facts

    check_pins(code=code_version, image=image_digest, protocols=protocols)
    summary = score_released_ablation(
        parse_params(params),
        name,
        weights=Path(model.path) / "network.safetensors",
        test_store=Path(test_store.path),
        out=Path(results.path),
    )
    facts = summary.to_dict() | mlflow_run_facts(summary.per_image_sha256)
    results.metadata.update({key: value for key, value in facts.items() if value is not None})
    for score in ("psnr", "ssim", "input_psnr", "input_ssim"):
        if facts[score] is not None:
            metrics.log_metric(score, facts[score])
