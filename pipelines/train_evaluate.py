"""Trains one network and evaluates it on every test set of its task."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.finish.component import finish
from components.report.component import report
from components.tables.component import tables
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from pipelines.evaluation_parts import build_evaluate_parts
from pipelines.networks import scored, trained


def build_train_evaluate(placement: TaskPlacement):
    """The pipeline, its tasks with the settings of ``placement``."""
    parts = build_evaluate_parts(placement)

    @dsl.pipeline(name="dgunet-train-evaluate", pipeline_config=placement.config)
    def train_evaluate(
        params: str,
        profile: str,
        evaluation: str,
        data_source: str,
        data_version: str,
        code_version: str,
        protocols: str,
        training_set: str,
        test_sets: List[str],  # noqa: UP006
        task: str = "derain",
        variant: str = "DGUNet",
        ratio: int = 0,
        image_digest: str = "",
        dnd_records: str = "[]",
    ):
        """Train one network of the paper and fill its cells of the tables.

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
            training_set: e.g. Rain13K.
            test_sets: e.g. ["Rain100L", "Rain100H"]; missing ones are skipped.
            task: derain, deblur, denoise or cs.
            variant: DGUNet or DGUNet+.
            ratio: percent of measurements for cs, 0 for the other tasks.
            image_digest: digest of the image; steps refuse any other.
            dnd_records: the scores received from DND's server, as a JSON list.
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
        network = {"task": task, "variant": variant, "ratio": ratio}
        with dsl.ExitHandler(placement("finish", finish())):
            model = trained(placement, common, network, training_set).outputs["model"]
            results = scored(placement, common, network, test_sets, model, parts)
            end = {"profile": profile, "code_version": code_version, "dnd_records": dnd_records}
            placement("tables", tables(results=dsl.Collected(results), **end))
            placement("report", report(results=dsl.Collected(results), **end))

    return train_evaluate


if __name__ == "train_evaluate":  # for `kfp dsl compile --py`
    train_evaluate = build_train_evaluate(TaskPlacement())
