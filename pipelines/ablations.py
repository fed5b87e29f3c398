"""Tables 5 and 6: nine variants of DGUNet+, trained and evaluated in parallel."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.finish.component import finish
from components.report.component import report
from components.tables.component import tables
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from pipelines.evaluation_parts import build_evaluate_ablation_parts
from pipelines.networks import ablated, prepared_for_ablations


def build_ablations(placement: TaskPlacement):
    """The pipeline, its tasks with the settings of ``placement``."""
    parts = build_evaluate_ablation_parts(placement)

    @dsl.pipeline(name="dgunet-ablations", pipeline_config=placement.config)
    def ablations(
        params: str,
        profile: str,
        evaluation: str,
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
            profile: its profile, sample or paper; all that steps on data alone get of it.
            evaluation: what an evaluation reads of it, as JSON.
            data_source: folder with the datasets in their official layout, or address of a git
                repository with DVC.
            data_version: commit of the repository, or any text that identifies the folder's
                content.
            code_version: as `dgunet pipeline versions` prints it; steps refuse other code.
            protocols: all metric protocols with their versions; steps refuse others.
            ablations: names, as listed by `dgunet train --help`.
            image_digest: digest of the image; steps refuse any other.
        """
        common = {
            "params": params,
            "profile": profile,
            "evaluation": evaluation,
            "data_source": data_source,
            "data_version": data_version,
            "code_version": code_version,
            "image_digest": image_digest,
            "protocols": protocols,
        }
        with dsl.ExitHandler(placement("finish", finish())):
            prepared = prepared_for_ablations(placement, common)
            results = ablated(placement, common, ablations, prepared, parts)
            end = {"profile": profile, "code_version": code_version, "dnd_records": "[]"}
            placement("tables", tables(ablations=dsl.Collected(results), **end))
            placement("report", report(ablations=dsl.Collected(results), **end))

    return ablations


if __name__ == "ablations":  # for `kfp dsl compile --py`
    ablations = build_ablations(TaskPlacement())
