"""The whole paper: all networks on all test sets of their tasks, the ablations, tables, report.

The networks are trained, or they are the authors'. Each choice is a branch with its own tables and
report, because kfp's local runner cannot collect the results of either branch of a condition.
"""

from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.finish.component import finish
from components.gather.component import gather
from components.report.component import report
from components.tables.component import tables
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from pipelines.evaluation_parts import build_evaluate_ablation_parts, build_evaluate_parts
from pipelines.networks import (
    ablated,
    build_prepare_training_sets,
    data_of,
    fetched,
    prepared_for_ablations,
    scored,
    trained,
)


def build_reproduce(placement: TaskPlacement):
    """The pipeline, its tasks with the settings of ``placement``."""
    prepare_training_sets = build_prepare_training_sets(placement)
    parts = {
        "networks": build_evaluate_parts(placement),
        "ablations": build_evaluate_ablation_parts(placement),
    }

    @dsl.pipeline(name="dgunet-reproduce", pipeline_config=placement.config)
    def reproduce(
        params: str,
        profile: str,
        evaluation: str,
        data_source: str,
        data_version: str,
        code_version: str,
        protocols: str,
        networks: List[dict],  # noqa: UP006
        test_sets: List[str],  # noqa: UP006
        ablations: List[str],  # noqa: UP006
        training_sets: List[str],  # noqa: UP006
        weights: str,
        image_digest: str = "",
        dnd_records: str = "[]",
    ):
        """Reproduce Tables 1-6.

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
            networks: one mapping for each network: kind (the task), variant, ratio (0 except for
                cs) and training_set.
            test_sets: catalogue names; each network is evaluated on those of its task; missing
                ones are skipped.
            ablations: names, as listed by `dgunet train --help`; with the authors' weights only
                stages-7, which is DGUNet+ itself.
            training_sets: those of the networks and of the ablations, each once.
            weights: "trained" for a training of every network, "released" for the authors' weights,
                which are downloaded.
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
        lists = {"networks": networks, "test_sets": test_sets, "ablations": ablations}
        end = {"profile": profile, "code_version": code_version, "dnd_records": dnd_records}
        with dsl.ExitHandler(placement("finish", finish())):
            with dsl.If(weights == "trained", name="trained"):
                once = prepare_training_sets(training_sets=training_sets, **data_of(common))
                _filled(placement, common, lists, end, parts, once)
            with dsl.Else(name="released"):
                _filled(placement, common, lists, end, parts)

    return reproduce


def _filled(
    placement: TaskPlacement,
    common: dict,
    lists: dict,
    end: dict,
    parts: dict,
    once: object = None,
) -> None:
    """Add the steps from the networks to tables and report.

    Args:
        common: arguments shared by the steps: params, data and pins.
        lists: networks, test_sets and ablations.
        end: arguments of tables and report.
        parts: inner pipelines for the test sets that several pods share, of networks and ablations.
        once: the task that has prepared the training sets, to train the networks; None: fetch the
            authors'.
    """
    parallelism = placement.parallelism("networks")
    prepared = prepared_for_ablations(placement, common, once) if once else None
    with dsl.ParallelFor(lists["networks"], name="networks", parallelism=parallelism) as item:
        network = {"task": item.kind, "variant": item.variant, "ratio": item.ratio}
        if once:
            made = trained(placement, common, network, item.training_set, once)
        else:
            made = fetched(placement, common, network)
        model = made.outputs["model"]
        results = scored(placement, common, network, lists["test_sets"], model, parts["networks"])
        one = placement("gather", gather(results=dsl.Collected(results)))
    variants = ablated(placement, common, lists["ablations"], prepared, parts["ablations"])
    for name, step in (("tables", tables), ("report", report)):
        made = step(
            results=dsl.Collected(one.outputs["gathered"]),
            ablations=dsl.Collected(variants),
            **end,
        )
        placement(name, made)


if __name__ == "reproduce":  # for `kfp dsl compile --py`
    reproduce = build_reproduce(TaskPlacement())
