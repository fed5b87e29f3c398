"""Tables 5 and 6: the nine variants of DGUNet+, trained and scored side by side."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.finish.component import finish
from components.report.component import report
from components.tables.component import tables
from dgunet.kubeflow.cluster.task_placement import Place
from pipelines.networks import ablated


def build(place: Place):
    """The pipeline with its tasks where ``place`` puts them."""

    @dsl.pipeline(name="dgunet-ablations", pipeline_config=place.config)
    def ablations(
        params: str,
        data_source: str,
        data_version: str,
        code_version: str,
        protocols: str,
        ablations: List[str],  # noqa: UP006
        image_digest: str = "",
    ):
        """Fill Tables 5 and 6.

        Args:
            params: the text of params.yaml.
            data_source: folder of official trees, or the address of a git repository with DVC.
            data_version: commit of the repository, or a word for the folder's content.
            code_version: what `dgunet pipeline versions` says; steps refuse other code.
            protocols: every metric protocol with its version; steps refuse others.
            ablations: names as `dgunet ablate --help` lists them.
            image_digest: digest of the image; steps refuse another.
        """
        common = {
            "params": params,
            "data_source": data_source,
            "data_version": data_version,
            "code_version": code_version,
            "image_digest": image_digest,
            "protocols": protocols,
        }
        with dsl.ExitHandler(place("finish", finish())):
            results = ablated(place, common, ablations)
            end = {"params": params, "code_version": code_version, "dnd_records": "[]"}
            place("tables", tables(ablations=dsl.Collected(results), **end))
            place("report", report(ablations=dsl.Collected(results), **end))

    return ablations
