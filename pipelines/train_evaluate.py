"""Prepare, train one network, score it on every test set of its task, make the tables.

Compile:  python -m pipelines.train_evaluate pipeline.yaml
"""

import sys
from typing import List  # noqa: UP035 - kfp reads the annotation

from kfp import compiler, dsl

from components.evaluate.component import evaluate
from components.prepare.component import prepare
from components.tables.component import tables
from components.train.component import train


@dsl.pipeline(name="dgunet-train-evaluate")
def train_evaluate(
    params: str,
    data_root: str,
    training_set: str,
    test_sets: List[str],  # noqa: UP006
    task: str = "derain",
    variant: str = "DGUNet",
    ratio: int = 0,
) -> dsl.Dataset:
    """Train one network of the paper and fill its cells of the tables.

    Args:
        params: the text of params.yaml.
        data_root: folder that holds the official trees.
        training_set: e.g. Rain13K.
        test_sets: e.g. ["Rain100L", "Rain100H"].
        task: derain, deblur, denoise or cs.
        variant: DGUNet or DGUNet+.
        ratio: percent of measurements for cs, 0 for the other tasks.
    """
    prepared = prepare(params=params, dataset=training_set, data_root=data_root)
    trained = train(
        params=params, task=task, variant=variant, ratio=ratio, store=prepared.outputs["store"]
    )
    with dsl.ParallelFor(test_sets, parallelism=2) as dataset:
        tested = prepare(params=params, dataset=dataset, data_root=data_root)
        scored = evaluate(
            params=params,
            dataset=dataset,
            variant=variant,
            ratio=ratio,
            store=tested.outputs["store"],
            model=trained.outputs["model"],
        )
    made = tables(params=params, results=dsl.Collected(scored.outputs["results"]))
    return made.outputs["tables"]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m pipelines.train_evaluate OUTPUT.yaml")
    compiler.Compiler().compile(train_evaluate, sys.argv[1])
    print(f"compiled {sys.argv[1]}")
