"""Evaluates given weights on any test sets of their task, without training."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.finish.component import finish
from components.load.component import load
from components.report.component import report
from components.tables.component import tables
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from pipelines.evaluation_parts import build_evaluate_parts
from pipelines.networks import scored


def build_evaluate_checkpoint(placement: TaskPlacement):
    """The pipeline, its tasks with the settings of ``placement``."""
    parts = build_evaluate_parts(placement)

    @dsl.pipeline(name="dgunet-evaluate-checkpoint", pipeline_config=placement.config)
    def evaluate_checkpoint(
        params: str,
        profile: str,
        evaluation: str,
        data_source: str,
        data_version: str,
        code_version: str,
        protocols: str,
        weights: str,
        weights_sha256: str,
        test_sets: List[str],  # noqa: UP006
        task: str = "derain",
        variant: str = "DGUNet",
        ratio: int = 0,
        image_digest: str = "",
        dnd_records: str = "[]",
    ):
        """Evaluate given weights.

        Args:
            params: the text of params.yaml, for the plan and the record; no step reads it.
            profile: its profile, sample or paper; all that steps on data alone get of it.
            evaluation: what an evaluation reads of it, as JSON.
            data_source: folder with the datasets in their official layout, or address of a git
                repository with DVC.
            data_version: commit of the repository, or any text that identifies the folder's
                content.
            code_version: as `dgunet pipeline versions` prints it; steps refuse other code.
            protocols: all metric protocols with their versions; steps refuse others.
            weights: http(s):// or s3:// address, or a path in the container; files that do not end
                with .safetensors are the authors' checkpoints.
            weights_sha256: digest of that file; a file with another digest is refused.
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
            pins = {"code_version": code_version, "image_digest": image_digest}
            loaded = load(weights=weights, weights_sha256=weights_sha256, task=task, **pins)
            model = placement("load", loaded).outputs["model"]
            results = scored(placement, common, network, test_sets, model, parts)
            end = {"profile": profile, "code_version": code_version, "dnd_records": dnd_records}
            placement("tables", tables(results=dsl.Collected(results), **end))
            placement("report", report(results=dsl.Collected(results), **end))

    return evaluate_checkpoint


if __name__ == "evaluate_checkpoint":  # for `kfp dsl compile --py`
    evaluate_checkpoint = build_evaluate_checkpoint(TaskPlacement())
