"""The whole paper: all networks on all test sets of their tasks, the ablations, tables, report."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.finish.component import finish
from components.gather.component import gather
from components.report.component import report
from components.tables.component import tables
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from pipelines.networks import ablated, scored, trained


def build_reproduce(placement: TaskPlacement):
    """The pipeline, its tasks with the settings of ``placement``."""

    @dsl.pipeline(name="dgunet-reproduce", pipeline_config=placement.config)
    def reproduce(
        params: str,
        data_source: str,
        data_version: str,
        code_version: str,
        protocols: str,
        networks: List[dict],  # noqa: UP006
        test_sets: List[str],  # noqa: UP006
        ablations: List[str],  # noqa: UP006
        image_digest: str = "",
        dnd_records: str = "[]",
    ):
        """Reproduce Tables 1-6.

        Args:
            params: the text of params.yaml.
            data_source: folder with the datasets in their official layout, or address of a git
                repository with DVC.
            data_version: commit of the repository, or any text that identifies the folder's
                content.
            code_version: as `dgunet pipeline versions` prints it; steps refuse other code.
            protocols: all metric protocols with their versions; steps refuse others.
            networks: one mapping for each network: kind (the task), variant, ratio (0 except for
                cs) and training_set.
            test_sets: catalogue names; each network is evaluated on those of its task; missing
                ones are skipped.
            ablations: names, as listed by `dgunet ablate --help`.
            image_digest: digest of the image; steps refuse any other.
            dnd_records: the scores received from DND's server, as a JSON list.
        """
        common = {
            "params": params,
            "data_source": data_source,
            "data_version": data_version,
            "code_version": code_version,
            "image_digest": image_digest,
            "protocols": protocols,
        }
        with dsl.ExitHandler(placement("finish", finish())):
            with dsl.ParallelFor(networks, parallelism=placement.parallelism("networks")) as item:
                network = {"task": item.kind, "variant": item.variant, "ratio": item.ratio}
                model = trained(placement, common, network, item.training_set).outputs["model"]
                results = scored(placement, common, network, test_sets, model)
                one = placement("gather", gather(results=dsl.Collected(results)))
            variants = ablated(placement, common, ablations)
            end = {"params": params, "code_version": code_version, "dnd_records": dnd_records}
            for name, step in (("tables", tables), ("report", report)):
                made = step(
                    results=dsl.Collected(one.outputs["gathered"]),
                    ablations=dsl.Collected(variants),
                    **end,
                )
                placement(name, made)

    return reproduce
