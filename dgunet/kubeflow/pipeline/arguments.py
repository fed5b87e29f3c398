"""The arguments of a pipeline run: given values, and the paper's settings as defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dgunet.config import Params, parse_params
from dgunet.data.catalogue.entries import dataset
from dgunet.kubeflow.pipeline.weights_origin import (
    check_origin,
    has_file,
    has_origin,
    published_ablations,
)
from dgunet.kubeflow.steps.code_pins import protocol_versions
from dgunet.kubeflow.steps.data_source import check_source
from dgunet.kubeflow.steps.dnd_records import read_records
from dgunet.kubeflow.submission.data_origin import local_data, pushed_data
from dgunet.network import preset
from dgunet.project import TRAINING_SETS, ProjectFolders, model_key, test_sets
from dgunet.system.address import Address
from dgunet.system.errors import ConfigError
from dgunet.system.files import sha256_file
from dgunet.system.package_digest import code_version
from dgunet.system.reading import parse_json, read_text, shorten
from dgunet.terms import ABLATION_TASK, CS_RATIOS, TASKS, ablation, check_task

FILE_BYTES = 4 << 20
"""Largest file that ``name=@FILE`` reads."""

FROM_PARAMS = ("params", "profile", "evaluation")
"""Parameters that are made from the parameter file."""

_GIVEN = (*FROM_PARAMS, "code_version", "protocols", "image_digest")

PINS = (*_GIVEN, "training_sets")
"""Parameters that follow from other settings and cannot be set on the command line."""


def run_arguments(
    document: Mapping[str, Any],
    *,
    params: str,
    given: Sequence[str],
    here: ProjectFolders,
    on_cluster: bool,
    image_digest: str = "",
) -> dict[str, Any]:
    """Checked values of all parameters of a compiled pipeline.

    Args:
        document: the pipeline's IR.
        params: the text of ``params.yaml``; its ``variants`` and ``weights`` determine the
            networks.
        given: ``name=value``; lists with commas or as JSON, ``name=@FILE`` reads a file.
        here: the project, for its DND records, its data and its own weights.
        on_cluster: whether pods run the steps: paths are then those of a container, and the data
            those of the pushed commit.
        image_digest: of the container image; "" for none.

    Raises:
        ConfigError: for an unknown name, a value of the wrong type, or a value that the paper, the
            catalogue or the parameter file does not have.
    """
    parsed = parse_params(params, "--params")
    declared = document["root"]["inputDefinitions"]["parameters"]
    set_by_user = dict(_given(entry, declared) for entry in given)
    if "data_source" not in set_by_user:
        source = pushed_data(here.home) if on_cluster else local_data(here, parsed)
        set_by_user = dict(zip(("data_source", "data_version"), source, strict=True)) | set_by_user
    pins = (
        *(params, parsed.profile, parsed.evaluation.model_dump_json()),
        *(code_version(), protocol_versions(), image_digest),
    )
    values = dict(zip(_GIVEN, pins, strict=True)) | set_by_user
    if has_origin(declared):
        values.setdefault("weights", parsed.weights)
    files = ("data_source", "weights") if has_file(declared) else ("data_source",)
    for name in declared:
        if name not in values and (default := _default(name, values, parsed, here)) is not None:
            values[name] = default
        if name == "weights" and name not in values and not on_cluster:
            values |= _own_weights(values, here.using(parsed.weights))
        if name in files and not on_cluster and name in values:
            values[name] = _absolute(values[name])
    missing = [n for n in declared if n not in values and "defaultValue" not in declared[n]]
    if missing:
        raise ConfigError(f"no value for {', '.join(missing)}.", f"Set it: -p {missing[0]}=...")
    for name in files:
        _refuse_secret(name, str(values.get(name, "")))
    check_source(values["data_source"], values.get("data_version", ""))
    _check(values, declared)
    return {name: values[name] for name in declared if name in values}


def networks(variants: Sequence[str]) -> list[dict[str, Any]]:
    """The networks of Tables 1-4, as an argument of the pipeline ``reproduce``."""
    return [
        {"kind": task, "variant": variant, "ratio": ratio, "training_set": TRAINING_SETS[task]}
        for variant in variants
        for task in TASKS
        for ratio in (CS_RATIOS if task == "cs" else (0,))
    ]


def training_sets(chosen: Sequence[Mapping[str, Any]]) -> list[str]:
    """The training sets of the networks and of the ablations, each once.

    A network of another form is left out here and refused later.
    """
    sets = [each.get("training_set") for each in chosen if isinstance(each, Mapping)]
    names = [name for name in sets if isinstance(name, str)]
    return list(dict.fromkeys([TRAINING_SETS[ABLATION_TASK], *names]))


def _given(entry: str, declared: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and value of ``name=value``."""
    name, equals, text = entry.partition("=")
    if not equals:
        raise ConfigError(f"-p {entry!r} has no '='.", "Write it as name=value.")
    if name in PINS:
        hint = (
            "Use --params FILE."
            if name in FROM_PARAMS
            else "Its value is determined automatically."
        )
        raise ConfigError(f"{name} cannot be set with -p.", hint)
    if name not in declared:
        near = get_close_matches(name, declared, n=1)
        names = ", ".join(known for known in declared if known not in PINS)
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
            raise ConfigError(f"{name}: the file {path} does not exist.") from None
    return name, _typed(name, text, declared[name]["parameterType"])


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
    """The paper's setting; None if it has none or the pipeline declares the default."""
    task = check_task(values.get("task", "derain"))
    if name == "networks":
        return networks(params.variants)
    if name == "test_sets":
        names = test_sets("all")
        return names if "networks" in values else [n for n in names if dataset(n).task == task]
    if name == "ablations":
        return published_ablations(values.get("weights", "trained"))
    if name == "training_sets":
        return training_sets(values["networks"])
    if name == "training_set":
        return TRAINING_SETS[task]
    if name == "dnd_records":
        return read_records(here.records)
    if name == "weights_sha256" and (weights := Path(values.get("weights", ""))).is_file():
        return sha256_file(weights)
    return None


def _own_weights(values: Mapping[str, Any], here: ProjectFolders) -> dict[str, str]:
    """The project's own network for the requested task, if it exists."""
    task = check_task(values.get("task", "derain"))
    key = model_key(task, values.get("variant", "DGUNet"), values.get("ratio") or None)
    own = here.model(key) / "network.safetensors"
    return {"weights": str(own)} if own.is_file() else {}


def _absolute(address: str) -> str:
    """A local path as an absolute path, since steps run in other folders; else the address."""
    return str(Path(address).resolve()) if Path(address).exists() else address


def _refuse_secret(name: str, value: str) -> None:
    """Refuse passwords: a pipeline's parameters are visible to everyone who can see its runs."""
    if Address(value).has_secret:
        raise ConfigError(
            f"{name} {value} contains a password or token.",
            "Parameters are visible to others: remove it, and pass it as a Kubernetes secret.",
        )


def _check(values: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    """Refuse values that a step would refuse hours later."""
    for name in ("networks", "test_sets", "ablations"):
        if name in declared and not values[name]:
            raise ConfigError(f"{name} is empty.", "Give at least one name.")
    for network in values["networks"] if "networks" in declared else _single(values, declared):
        _check_network(network)
    for name in ("test_sets", "ablations"):
        for value in values[name] if name in declared else ():
            if not isinstance(value, str):
                raise ConfigError(f"{name} contains {shorten(value)}.", "Give a list of names.")
    if "test_sets" in declared:
        test_sets(",".join(map(str, values["test_sets"])))
    if "ablations" in declared:
        for name in values["ablations"]:
            ablation(name)
    if has_origin(declared):
        check_origin(values)


def _single(values: Mapping[str, Any], declared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The network of a pipeline that has only one; empty if it has none."""
    if "task" not in declared:
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
        raise ConfigError(
            f"networks contains {shorten(network)}.", f"Each network has the form {example}."
        )
    task = check_task(network["kind"])
    model_key(task, network["variant"], network["ratio"] or None)
    preset(task, network["variant"], ratio=network["ratio"] or None)
    trained = dataset(network["training_set"])
    if (trained.task, trained.role) != (task, "train"):
        raise ConfigError(
            f"{trained.name} is a {trained.role} set for {trained.task}, not a training set for "
            f"{task}.",
            f"The paper uses {TRAINING_SETS[task]}.",
        )
