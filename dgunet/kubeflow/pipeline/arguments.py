"""The arguments of a pipeline run: what the paper wants by default, and what was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dgunet.config import Params, parse_params
from dgunet.data.catalogue.entries import dataset
from dgunet.kubeflow.steps.code_pins import code_version, protocol_versions
from dgunet.kubeflow.steps.data_source import check_source
from dgunet.kubeflow.steps.dnd_records import read_records
from dgunet.kubeflow.submission.data_origin import for_a_cluster, on_this_machine
from dgunet.network import preset
from dgunet.project import TRAINING_SETS, ProjectFolders, model_key, test_sets
from dgunet.system.address import Address
from dgunet.system.errors import ConfigError
from dgunet.system.files import sha256_file
from dgunet.system.reading import parse_json, read_text, shorten
from dgunet.terms import ABLATIONS, CS_RATIOS, TASKS, ablation, check_task

FILE_BYTES = 4 << 20
"""What ``name=@FILE`` reads is at most this large."""

PINS = ("params", "code_version", "protocols", "image_digest")
"""What decides results and is not for the command line to choose."""


def run_arguments(
    document: Mapping[str, Any],
    *,
    params: str,
    asked: Sequence[str],
    here: ProjectFolders,
    on_cluster: bool,
    image_digest: str = "",
) -> dict[str, Any]:
    """Every parameter of a compiled pipeline, checked.

    Args:
        document: the pipeline's IR.
        params: the text of ``params.yaml``; its ``variants`` decide the networks.
        asked: ``name=value``; lists with commas or as JSON, ``name=@FILE`` reads a file.
        here: the project, for its records of DND's server, its data and its own weights.
        on_cluster: paths are those of a container, and the data is what was pushed.
        image_digest: of the container image; "" for none.

    Raises:
        ConfigError: for an unknown name, a value of the wrong kind, or one that the paper,
            the catalogue or the parameter file does not have.
    """
    knobs = parse_params(params, "--params")
    wanted = document["root"]["inputDefinitions"]["parameters"]
    chosen = dict(_asked(entry, wanted) for entry in asked)
    if "data_source" not in chosen:
        found = for_a_cluster(here.home) if on_cluster else on_this_machine(here, knobs)
        chosen = dict(zip(("data_source", "data_version"), found, strict=True)) | chosen
    pins = (params, code_version(), protocol_versions(), image_digest)
    values = dict(zip(PINS, pins, strict=True)) | chosen
    for name in wanted:
        if name not in values and (default := _default(name, values, knobs, here)) is not None:
            values[name] = default
        if name == "weights" and name not in values and not on_cluster:
            values |= _own_weights(values, here)
        if name in ("data_source", "weights") and not on_cluster and name in values:
            values[name] = _absolute(values[name])
    lacking = [n for n in wanted if n not in values and "defaultValue" not in wanted[n]]
    if lacking:
        raise ConfigError(f"no value for {', '.join(lacking)}.", f"Give it: -p {lacking[0]}=...")
    for name in ("data_source", "weights"):
        _refuse_secret(name, str(values.get(name, "")))
    check_source(values["data_source"], values.get("data_version", ""))
    _check(values, wanted)
    return {name: values[name] for name in wanted if name in values}


def networks(variants: Sequence[str]) -> list[dict[str, Any]]:
    """The networks of Tables 1-4, as the pipeline ``reproduce`` takes them."""
    return [
        {"kind": task, "variant": variant, "ratio": ratio, "training_set": TRAINING_SETS[task]}
        for variant in variants
        for task in TASKS
        for ratio in (CS_RATIOS if task == "cs" else (0,))
    ]


def _asked(entry: str, wanted: Mapping[str, Any]) -> tuple[str, Any]:
    name, equals, text = entry.partition("=")
    if not equals:
        raise ConfigError(f"-p {entry!r} has no '='.", "Write it as name=value.")
    if name in PINS:
        hint = "Name the file with --params." if name == "params" else "It is found by itself."
        raise ConfigError(f"{name} is not for -p.", hint)
    if name not in wanted:
        near = get_close_matches(name, wanted, n=1)
        names = ", ".join(known for known in wanted if known not in PINS)
        raise ConfigError(
            f"the pipeline has no parameter {name!r}"
            + (f" (did you mean {near[0]}?)." if near else "."),
            f"Its parameters are: {names}.",
        )
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            text = read_text(path, limit=FILE_BYTES, kind=ConfigError).strip()
        except FileNotFoundError:
            raise ConfigError(f"{name}: no file {path}.") from None
    return name, _typed(name, text, wanted[name]["parameterType"])


def _typed(name: str, text: str, kind: str) -> Any:
    if kind == "NUMBER_INTEGER":
        if not re.fullmatch(r"-?[0-9]{1,15}", text):
            raise ConfigError(f"{name} is {shorten(text)}, not a whole number.")
        return int(text)
    if kind != "LIST":
        return text
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    return parse_json(text, name, kind=ConfigError)


def _default(name: str, values: Mapping[str, Any], params: Params, here: ProjectFolders) -> Any:
    """What the paper has; None where the pipeline's own default, or none, is right."""
    task = check_task(values.get("task", "derain"))
    if name == "networks":
        return networks(params.variants)
    if name == "test_sets":
        every = test_sets("all")
        return every if "networks" in values else [n for n in every if dataset(n).task == task]
    if name == "ablations":
        return list(ABLATIONS)
    if name == "training_set":
        return TRAINING_SETS[task]
    if name == "dnd_records":
        return read_records(here.records)
    if name == "weights_sha256" and (weights := Path(values.get("weights", ""))).is_file():
        return sha256_file(weights)
    return None


def _own_weights(values: Mapping[str, Any], here: ProjectFolders) -> dict[str, str]:
    """The project's own network of the task asked for, if it was trained here."""
    task = check_task(values.get("task", "derain"))
    key = model_key(task, values.get("variant", "DGUNet"), values.get("ratio") or None)
    own = here.model(key) / "network.safetensors"
    return {"weights": str(own)} if own.is_file() else {}


def _absolute(address: str) -> str:
    """A path of this machine whole, since steps work elsewhere; other addresses as they are."""
    return str(Path(address).resolve()) if Path(address).exists() else address


def _refuse_secret(name: str, value: str) -> None:
    """A pipeline's parameters are shown to everybody who sees its runs."""
    if Address(value).has_secret:
        raise ConfigError(
            f"{name} {value} holds a password or token.",
            "Parameters are shown: leave it out, and give credentials to the steps as a secret.",
        )


def _check(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Find now what a step would find after hours."""
    for name in ("networks", "test_sets", "ablations"):
        if name in wanted and not values[name]:
            raise ConfigError(f"{name} is empty.", "Name at least one.")
    for network in values["networks"] if "networks" in wanted else _one(values, wanted):
        _check_network(network)
    for name in ("test_sets", "ablations"):
        for value in values[name] if name in wanted else ():
            if not isinstance(value, str):
                raise ConfigError(f"{name} holds {shorten(value)}.", "Give a list of names.")
    if "test_sets" in wanted:
        test_sets(",".join(map(str, values["test_sets"])))
    if "ablations" in wanted:
        for name in values["ablations"]:
            ablation(name)


def _one(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "task" not in wanted:
        return []
    task = values.get("task", "derain")
    return [
        {
            "kind": task,
            "variant": values.get("variant", "DGUNet"),
            "ratio": values.get("ratio", 0),
            "training_set": values.get("training_set", TRAINING_SETS[check_task(task)]),
        }
    ]


def _check_network(network: Any) -> None:
    fields = {"kind", "variant", "ratio", "training_set"}
    if (
        not isinstance(network, dict)
        or set(network) != fields
        or type(network["ratio"]) is not int
        or not all(isinstance(network[name], str) for name in fields - {"ratio"})
    ):
        example = json.dumps(networks(["DGUNet"])[0])
        raise ConfigError(f"networks holds {shorten(network)}.", f"Each is like {example}.")
    task = check_task(network["kind"])
    model_key(task, network["variant"], network["ratio"] or None)
    preset(task, network["variant"], ratio=network["ratio"] or None)
    trained = dataset(network["training_set"])
    if (trained.task, trained.role) != (task, "train"):
        raise ConfigError(
            f"{trained.name} is a {trained.role} set for {trained.task}, not to train {task} on.",
            f"The paper's is {TRAINING_SETS[task]}.",
        )
