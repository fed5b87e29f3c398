"""The whole paper: all networks on all sets of their tasks, the ablations, tables, report."""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.finish.component import finish
from components.gather.component import gather
from components.report.component import report
from components.tables.component import tables
from dgunet.kubeflow.cluster.task_placement import Place
from pipelines.networks import ablated, scored, trained


def build(place: Place):
    """The pipeline with its tasks where ``place`` puts them."""

    @dsl.pipeline(name="dgunet-reproduce", pipeline_config=place.config)
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
            data_source: folder of official trees, or the address of a git repository with DVC.
            data_version: commit of the repository, or a word for the folder's content.
            code_version: what `dgunet pipeline versions` says; steps refuse other code.
            protocols: every metric protocol with its version; steps refuse others.
            networks: a mapping each: kind (the task), variant, ratio (0 but for cs) and
                training_set.
            test_sets: names of the catalogue; each network takes those of its task, absent ones
                are left out.
            ablations: names as `dgunet ablate --help` lists them.
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
        with dsl.ExitHandler(place("finish", finish())):
            with dsl.ParallelFor(networks, parallelism=place.loops("networks")) as item:
                network = {"task": item.kind, "variant": item.variant, "ratio": item.ratio}
                model = trained(place, common, network, item.training_set).outputs["model"]
                results = scored(place, common, network, test_sets, model)
                one = place("gather", gather(results=dsl.Collected(results)))
            variants = ablated(place, common, ablations)
            end = {"params": params, "code_version": code_version, "dnd_records": dnd_records}
            for name, step in (("tables", tables), ("report", report)):
                made = step(
                    results=dsl.Collected(one.outputs["gathered"]),
                    ablations=dsl.Collected(variants),
                    **end,
                )
                place(name, made)

    return reproduce
