"""What several pipelines share: train a network, score it on every set, set by set."""

from kfp import dsl

from components.ablate.component import ablate
from components.evaluate.component import evaluate
from components.prepare.component import prepare
from components.submission.component import submission
from components.survey.component import survey
from components.train.component import train
from components.train_nodes.component import train_nodes
from dgunet.kubeflow.cluster.task_placement import Place
from dgunet.project import TRAINING_SETS
from dgunet.terms import ABLATION_SET


def trained(place: Place, common: dict, network: dict, training_set) -> object:
    """The train task of one network, its data prepared; over several nodes if the cluster says so.

    Args:
        common: arguments that the steps have in common; see `arguments`.
        network: task, variant and ratio.
        training_set: a name of the catalogue.
    """
    prepared = place("prepare", prepare(dataset=training_set, **_data(common)))
    given = network | _pick(common, "params", "code_version", "image_digest")
    given |= {"processes": 0, "store": prepared.outputs["store"]}
    step = train_nodes(**given, **place.trainer) if place.trainer else train(**given)
    return place("train", step)


def scored(place: Place, common: dict, network: dict, sets, model) -> object:
    """The results of ``model`` on those of ``sets`` that are at hand, to be collected."""
    source = _pick(common, "params", "data_source", "data_version")
    # The survey says variant and ratio again: within the loop, kfp's local runner takes every item
    # of a loop around it for its own.
    found = place("survey", survey(**network, sets=sets, **source))
    with dsl.ParallelFor(found.outputs["Output"], parallelism=place.loops("sets")) as item:
        tested = place("prepare", prepare(dataset=item.dataset, **_data(common)))
        result = evaluate(
            dataset=item.dataset,
            variant=item.variant,
            ratio=item.ratio,
            store=tested.outputs["store"],
            model=model,
            **_pick(common, "params", "code_version", "image_digest", "protocols"),
        )
        result = place("evaluate", result)
        with dsl.If(result.outputs["Output"] == "waiting for the server", name="server-scores"):
            place("submission", submission(results=result.outputs["results"]))
    return result.outputs["results"]


def ablated(place: Place, common: dict, names) -> object:
    """The results of the ablations ``names``, to be collected."""
    train_store = place("prepare", prepare(dataset=TRAINING_SETS["derain"], **_data(common)))
    test_store = place("prepare", prepare(dataset=ABLATION_SET, **_data(common)))
    with dsl.ParallelFor(names, parallelism=place.loops("ablations")) as name:
        step = ablate(
            name=name,
            train_store=train_store.outputs["store"],
            test_store=test_store.outputs["store"],
            **_pick(common, "params", "code_version", "image_digest", "protocols"),
        )
        results = place("ablate", step).outputs["results"]
    return results


def _data(common: dict) -> dict:
    names = ("params", "data_source", "data_version", "code_version", "image_digest")
    return _pick(common, *names)


def _pick(common: dict, *names: str) -> dict:
    return {name: common[name] for name in names}
