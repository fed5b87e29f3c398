"""One data set: official tree to prepared store."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def prepare(params: str, dataset: str, data_root: str, store: dsl.Output[dsl.Dataset]):
    """Check a data set and lay it out for reading.

    Args:
        params: the text of params.yaml.
        dataset: a name of the catalogue, e.g. Rain100L.
        data_root: folder that holds the official trees.
        store: the prepared store; its digest is in the metadata.
    """
    from pathlib import Path

    from dgunet.config import parse_params
    from dgunet.stages.prepare import prepare as run

    manifest = run(parse_params(params), dataset, root=Path(data_root), out=Path(store.path))
    store.metadata.update(dataset=dataset, digest=manifest.digest, records=manifest.count)
