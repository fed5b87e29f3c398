"""Parts shared by the pipelines: train or fetch a network, evaluate it, run ablations."""

from collections.abc import Sequence
from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import dsl

from components.evaluate.component import evaluate
from components.evaluate_ablation.component import evaluate_ablation
from components.fetch_weights.component import fetch_weights
from components.keep_model.component import keep_model
from components.prepare.component import prepare
from components.submission.component import submission
from components.survey.component import survey
from components.train.component import train
from components.train_ablation.component import train_ablation
from components.train_nodes.component import train_nodes
from dgunet.kubeflow.cluster.task_placement import TaskPlacement
from dgunet.project import TRAINING_SETS
from dgunet.terms import ABLATION_SET, ABLATION_TASK, ABLATION_VARIANT


def trained(
    placement: TaskPlacement, common: dict, network: dict, training_set, after: object = None
) -> object:
    """The task with the model of one network, trained on its prepared data.

    The training is a TrainJob if ``trainer`` is set.

    Args:
        common: arguments shared by the steps: params, data and pins.
        network: task, variant and ratio.
        training_set: a catalogue name.
        after: the task that has prepared every training set; the cache then has this one.
    """
    prepared = prepare(dataset=training_set, **data_of(common))
    placement("prepare", prepared, "training set of the network")
    if after is not None:
        prepared.after(after)
    given = network | _pick(common, "params", "code_version", "image_digest")
    given |= {"processes": 0, "store": prepared.outputs["store"]}
    if nodes := placement.trainer("train"):
        made = placement("train", train_nodes(ablation="", **given, **nodes), "network")
    else:
        made = placement("train", train(**given), "network")
    return _kept(placement, made)


def _kept(placement: TaskPlacement, made: object) -> object:
    """The task whose model is that of the training ``made``; the same artifact for equal weights.

    Without a folder that the steps share, it is ``made`` itself.
    """
    if not placement.keeps_models:
        return made
    return placement("keep_model", keep_model(checkpoint=made.outputs["Output"]))


def fetched(placement: TaskPlacement, common: dict, network: dict) -> object:
    """The task that fetches the authors' weights of one network.

    Args:
        common: arguments shared by the steps, with the pins.
        network: task, variant and ratio.
    """
    pins = _pick(common, "code_version", "image_digest")
    return placement("fetch_weights", fetch_weights(**network, **pins))


def scored(
    placement: TaskPlacement, common: dict, network: dict, sets, model, parts: Sequence = ()
) -> object:
    """The results of ``model`` on those of ``sets`` that the data source has, to be collected.

    Args:
        common: arguments shared by the steps: params, data and pins.
        network: task, variant and ratio.
        sets: names of test sets, of any task.
        model: of the network.
        parts: those of `build_evaluate_parts`.
    """
    # survey also returns variant and ratio: within the inner loop, kfp's local runner confuses its
    # items with those of the outer loop.
    found = placement("survey", survey(**network, sets=sets, **data_of(common)))
    with dsl.ParallelFor(
        found.outputs["Output"], name="test sets", parallelism=placement.parallelism("sets")
    ) as item:
        tested = prepare(dataset=item.dataset, **data_of(common))
        placement("prepare", tested, "test set")
        given = {
            "dataset": item.dataset,
            "variant": item.variant,
            "ratio": item.ratio,
            "store": tested.outputs["store"],
            "model": model,
            **_pick(common, "evaluation", "code_version", "image_digest", "protocols"),
        }
        result = placement("evaluate", evaluate(**given))
        result.after(*[score(ablation="", **given) for score in parts])
        with dsl.If(result.outputs["Output"] == "waiting for the server", name="server-scores"):
            placement("submission", submission(results=result.outputs["results"]))
    return result.outputs["results"]


def build_prepare_training_sets(placement: TaskPlacement):
    """A pipeline within another one, which prepares every training set for the cache.

    Without it, the networks that share a training set would prepare it at the same time. A task
    can wait for a pipeline, but not for a loop. kfp builds it before the pipeline that calls it.
    """

    @dsl.pipeline(name="prepare-training-sets")
    def prepare_training_sets(
        training_sets: List[str],  # noqa: UP006
        profile: str,
        data_source: str,
        data_version: str,
        code_version: str,
        image_digest: str,
    ):
        given = {
            "profile": profile,
            "data_source": data_source,
            "data_version": data_version,
            "code_version": code_version,
            "image_digest": image_digest,
        }
        parallelism = placement.parallelism("sets")
        with dsl.ParallelFor(training_sets, name="training sets", parallelism=parallelism) as name:
            placement("prepare", prepare(dataset=name, **given), "training set")

    return prepare_training_sets


def prepared_for_ablations(placement: TaskPlacement, common: dict, after: object = None) -> object:
    """The task that prepares the training set of the ablations, which is that of deraining.

    Args:
        common: arguments shared by the steps: params, data and pins.
        after: as for `trained`.
    """
    name = TRAINING_SETS["derain"]
    prepared = prepare(dataset=name, **data_of(common))
    placement("prepare", prepared, f"{name} for the ablations")
    return prepared if after is None else prepared.after(after)


def ablated(
    placement: TaskPlacement, common: dict, names, prepared: object, parts: Sequence = ()
) -> object:
    """The results of the ablations ``names``, to be collected.

    Args:
        common: arguments shared by the steps: params, data and pins.
        names: of the ablations.
        prepared: the task that prepares their training set, to train the networks; None: fetch the
            authors', which for all ablations that they published is DGUNet+ itself.
        parts: those of `build_evaluate_ablation_parts`.
    """
    if prepared is None:
        plus = {"task": ABLATION_TASK, "variant": ABLATION_VARIANT, "ratio": 0}
        model = fetched(placement, common, plus).outputs["model"]
    tested = prepare(dataset=ABLATION_SET, **data_of(common))
    placement("prepare", tested, f"{ABLATION_SET} for the ablations")
    parallelism = placement.parallelism("ablations")
    with dsl.ParallelFor(names, name="ablations", parallelism=parallelism) as name:
        if prepared is not None:
            given = _pick(common, "params", "code_version", "image_digest")
            given |= {"processes": 0, "store": prepared.outputs["store"]}
            if nodes := placement.trainer("train_ablation"):
                network = {"task": ABLATION_TASK, "variant": ABLATION_VARIANT, "ratio": 0}
                step = train_nodes(ablation=name, **network, **given, **nodes | {"nodes": 1})
            else:
                step = train_ablation(name=name, **given)
            made = placement("train_ablation", step, "ablation")
            model = _kept(placement, made).outputs["model"]
        given = {
            "model": model,
            "store": tested.outputs["store"],
            **_pick(common, "evaluation", "code_version", "image_digest", "protocols"),
        }
        result = placement("evaluate", evaluate_ablation(name=name, **given))
        of_set = {"dataset": ABLATION_SET, "variant": ABLATION_VARIANT, "ratio": 0}
        result.after(*[score(ablation=name, **of_set, **given) for score in parts])
    return result.outputs["results"]


def data_of(common: dict) -> dict:
    """The arguments of the steps that work on data alone."""
    names = ("profile", "data_source", "data_version", "code_version", "image_digest")
    return _pick(common, *names)


def _pick(common: dict, *names: str) -> dict:
    return {name: common[name] for name in names}
