"""One dataset: from its official folder tree to a prepared store."""

from kfp import dsl

from components import IMAGE


@dsl.component(base_image=IMAGE, packages_to_install=[], install_kfp_package=False)
def prepare(
    profile: str,
    dataset: str,
    data_source: str,
    data_version: str,
    code_version: str,
    image_digest: str,
    store: dsl.Output[dsl.Dataset],
):
    """Fetch a dataset, check it and write its prepared store.

    Args:
        profile: "sample" or "paper", as in params.yaml; no other setting changes the data.
        dataset: a catalogue name, e.g. Rain100L.
        data_source: folder with the datasets in their official layout, or address of a git
            repository with DVC.
        data_version: commit of the repository, or any text that identifies the folder's content.
        code_version: as `dgunet pipeline versions` prints it; the step refuses other code.
        image_digest: digest of the image; the step refuses any other.
        store: the prepared store, or its manifest if the store is on a volume; its digest is in
            the metadata.
    """
    from pathlib import Path

    from dgunet.kubeflow.steps.code_pins import check_pins
    from dgunet.kubeflow.steps.data_source import trees
    from dgunet.kubeflow.steps.prepared_stores import prepare_shared
    from dgunet.tracking.run_links import mlflow_run_facts

    check_pins(code=code_version, image=image_digest)
    version = (data_source, data_version, code_version)
    with trees(profile, dataset, data_source, data_version) as root:
        manifest = prepare_shared(
            profile, dataset, root=root, artifact=Path(store.path), version=version
        )
    store.metadata.update(
        dataset=dataset,
        digest=manifest.digest,
        layout=manifest.layout,
        records=manifest.count,
        data_source=data_source,
        data_version=data_version,
        code_version=code_version,
        **mlflow_run_facts(manifest.digest),
    )
