"""Checks whether the image can be pulled and has the code of this clone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgunet.kubeflow.doctor.findings import Finding, ok, problem, unknown, warning
from dgunet.kubeflow.doctor.reading import NotReadError
from dgunet.kubeflow.doctor.registry import RegistryError, image_labels
from dgunet.kubeflow.submission.submitting import EXAMPLE
from dgunet.system.git import git_output

REVISION, DIRTY = "org.opencontainers.image.revision", "dgunet.dirty"
PACKAGE = "dgunet"
SHOWN = 12
BUILD = "Build it from this commit and push it (make image, docker push); set image to its digest."


def check_image(
    home: Path, name: str, read_logins: Callable[[], Sequence[Mapping[str, Any]]]
) -> Iterator[Finding]:
    """Whether the registry gives the image, and whether it was built from this code.

    Args:
        name: of the image, by digest.
        read_logins: returns the data of the pull secrets.
    """
    about, digest = "image {}".format(name.partition("@")[0]), name.partition("@")[2]
    if digest == EXAMPLE:
        yield problem(about, "is the placeholder of pipelines/cluster.yaml", BUILD)
        return
    try:
        labels = image_labels(name, read_logins())
    except NotReadError as error:
        yield unknown(about, f"cannot be checked from here: no pull secret ({error})")
        return
    except RegistryError as error:
        if not error.certain:
            yield unknown(about, f"cannot be checked from here: {error.message}")
            return
        hint = "Push it, correct its digest, or add credentials to pull_secrets."
        yield problem(about, error.message, hint)
        return
    yield ok(about, f"the registry gives {digest[: 7 + SHOWN]}")
    yield _code(home, about, labels)


def _code(home: Path, about: str, labels: Mapping[str, str]) -> Finding:
    """The finding about the commit in the labels; the pods refuse to run other code."""
    about = f"code of the {about}"
    commit = labels.get(REVISION, "unknown")
    if commit == "unknown":
        text = f"its label {REVISION} has no commit; the pods compare the code when they start"
        return warning(about, text, BUILD)
    known = git_output(home, "cat-file", "-e", f"{commit}^{{commit}}", seconds=30)
    if known is None:
        text = f"it was built from {commit[:SHOWN]}, which this clone does not have"
        return warning(about, text, f"git fetch, or: {BUILD}")
    changed = git_output(home, "diff", "--name-only", commit, "--", PACKAGE, seconds=30)
    if changed is None:
        return unknown(about, f"git cannot compare {commit[:SHOWN]} with this clone")
    if changed:
        files = changed.splitlines()
        text = f"it has {commit[:SHOWN]}, from which {len(files)} files differ, e.g. {files[0]}"
        return problem(about, f"{text}; the pods refuse to run other code", BUILD)
    if labels.get(DIRTY) not in (None, "no", "false", "0", "unknown"):
        return warning(about, f"it was built from {commit[:SHOWN]} with changes", BUILD)
    return ok(about, f"that of {commit[:SHOWN]}, equal to this clone's")
