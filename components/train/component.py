"""One network: prepared store to weights."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def train(
    params: str,
    task: str,
    variant: str,
    ratio: int,
    store: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train one network of Tables 1-4.

    Args:
        params: the text of params.yaml.
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, 0 for the other tasks.
        store: the prepared training set.
        model: folder of the weights and the loss curve; the checkpoint hash is in the metadata.
        metrics: mean loss of the first and of the last tenth of the steps.
    """
    import json
    from pathlib import Path

    from dgunet import files
    from dgunet.config import parse_params
    from dgunet.stages.train import train as run

    out = Path(model.path)
    weights = run(
        parse_params(params),
        task,
        variant=variant,
        ratio=ratio or None,
        store=Path(store.path),
        out=out,
    )
    model.metadata.update(checkpoint_sha256=files.sha256_file(weights), **store.metadata)
    for name, value in json.loads((out / "training.json").read_text()).items():
        metrics.log_metric(name, value)
