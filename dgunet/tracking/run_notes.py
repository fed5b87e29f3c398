"""The description of a run in MLflow: what it is, and what came out."""

from __future__ import annotations

from collections.abc import Mapping

from dgunet.terms import TABLE_TAG

NOTE = "mlflow.note.content"
"""Tag of a run or an experiment with its description in Markdown."""

_WHAT = {
    "prepare": "The dataset {dataset}, prepared from its images",
    "train": "Training of {row} for {task}{ratio}",
    "evaluate": "{row} on the test set {dataset}{ratio}",
    "tables": "The six tables of the paper, from all evaluations",
    "claims": "Verdicts on the paper's claims, from the evaluations",
    "score": "Results of others, scored with the metric protocol {protocol}",
    "inspect": "What each stage of a network contributes to one image",
    "import": "The authors' weights of {row} for {task}{ratio}",
    "check": "A check of datasets against the catalogue",
    "campaign": "The end of a Kubeflow pipeline",
}
_TASKS = {
    "derain": "deraining",
    "deblur": "deblurring",
    "denoise": "denoising",
    "cs": "compressive sensing",
}
_PROFILES = {
    "sample": "Sample profile: tiny networks on a few crops, not comparable with the paper.",
    "reduced": "Reduced profile: small networks on the original test sets, not comparable with the"
    " paper.",
    "paper": "Paper profile: the paper's settings and data.",
}


def describe_run(tags: Mapping[str, str]) -> str:
    """What a run with these tags is, in Markdown; "" for an unknown stage."""
    if (what := _WHAT.get(tags.get("stage", ""))) is None:
        return ""
    facts = {name: tags.get(name, "?") for name in ("dataset", "variant", "protocol")}
    facts["task"] = _TASKS.get(tags.get("task", ""), "?")
    facts["row"] = tags.get("row") or tags.get("variant", "?")
    facts["ratio"] = f" at a ratio of {tags['ratio']} %" if "ratio" in tags else ""
    tables = tags.get(TABLE_TAG, "").split()
    place = f" (Table {' and '.join(tables)} of the paper)" if tables else ""
    return f"{what.format(**facts)}{place}. {_PROFILES.get(tags.get('profile', ''), '')}".rstrip()
