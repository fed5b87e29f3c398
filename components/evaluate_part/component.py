"""A part of one test set: the images are scored, but there is no result yet."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def evaluate_part(
    evaluation: str,
    dataset: str,
    variant: str,
    ratio: int,
    ablation: str,
    part: str,
    code_version: str,
    image_digest: str,
    protocols: str,
    store: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
) -> str:
    """Restore and score some images of a test set; the step that evaluates the set merges them.

    The rows go to DGUNET_HOME, which must be on a volume that all parts and that step share.

    Args:
        evaluation: what an evaluation reads of params.yaml, as JSON; no other setting changes it.
        dataset: a test set of the catalogue.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, 0 for the other tasks.
        ablation: name of the ablation, "" for a network of Tables 1-4.
        part: which images, e.g. 2/4 for the second of four parts.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        protocols: every metric protocol with its version; the step refuses others.
        store: the prepared test set.
        model: the network.

    Returns:
        One line about the part and about what is left.
    """
    from pathlib import Path

    from dgunet.config import parse_evaluation
    from dgunet.evaluation.network_evaluation import DEFAULTS
    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.prepared_stores import find_store
    from dgunet.steps.evaluate_part import evaluate_part
    from dgunet.steps.evaluation_plan import PlannedEvaluation
    from dgunet.system.parts import Part

    check_pins(code=code_version, image=image_digest, protocols=protocols)
    wanted = PlannedEvaluation(
        dataset=dataset,
        variant=variant,
        models={ratio or None: Path(model.path) / "network.safetensors"},
        store=find_store(Path(store.path)),
        out=Path(f"{dataset}-{ablation or variant}"),
        ablation=ablation,
    )
    settings = parse_evaluation(evaluation)
    (made,) = evaluate_part(settings, wanted, DEFAULTS, Part.parse(part))
    print(made.line())
    return made.line()
