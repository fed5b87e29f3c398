"""Published or own weights over any sets of their task: no training."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.finish.component import finish
from components.load.component import load
from components.report.component import report
from components.tables.component import tables
from dgunet.kubeflow.cluster.task_placement import Place
from pipelines.networks import scored


def build(place: Place):
    """The pipeline with its tasks where ``place`` puts them."""

    @dsl.pipeline(name="dgunet-evaluate-checkpoint", pipeline_config=place.config)
    def evaluate_checkpoint(
        params: str,
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
        """Score given weights.

        Args:
            params: the text of params.yaml.
            data_source: folder of official trees, or the address of a git repository with DVC.
            data_version: commit of the repository, or a word for the folder's content.
            code_version: what `dgunet pipeline versions` says; steps refuse other code.
            protocols: every metric protocol with its version; steps refuse others.
            weights: http(s)://, s3:// or a path in the container; .safetensors are ours, others
                the authors'.
            weights_sha256: digest of that file; another one is refused.
            test_sets: e.g. ["Rain100L", "Rain100H"]; absent ones are left out.
            task: derain, deblur, denoise or cs.
            variant: DGUNet or DGUNet+.
            ratio: percent of measurements for cs, 0 for the other tasks.
            image_digest: digest of the image; steps refuse another.
            dnd_records: the scores that DND's server mailed, as a JSON list.
        """
        common = {
            "params": params,
            "data_source": data_source,
            "data_version": data_version,
            "code_version": code_version,
            "image_digest": image_digest,
            "protocols": protocols,
        }
        network = {"task": task, "variant": variant, "ratio": ratio}
        with dsl.ExitHandler(place("finish", finish())):
            pins = {"code_version": code_version, "image_digest": image_digest}
            loaded = load(weights=weights, weights_sha256=weights_sha256, task=task, **pins)
            model = place("load", loaded).outputs["model"]
            results = scored(place, common, network, test_sets, model)
            end = {"params": params, "code_version": code_version, "dnd_records": dnd_records}
            place("tables", tables(results=dsl.Collected(results), **end))
            place("report", report(results=dsl.Collected(results), **end))

    return evaluate_checkpoint
