"""Choice of one network among the files of the authors' archive of weights.

The files of three tasks have the same names in different folders, and DGUNet for deblurring is the
same network as DGUNet for denoising: only the folder tells their weights apart.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from dgunet.data.acquisition.unpacking import is_archive, unpack
from dgunet.network.config import preset
from dgunet.network.dgunet import DGUNet
from dgunet.network.official import import_official, recognise
from dgunet.network.official_file import OfficialFile, read_official
from dgunet.system.errors import CheckpointError
from dgunet.terms import Task, Variant

SUFFIXES = frozenset({".pth", ".pkl", ".pt"})
"""Suffixes of the authors' weights."""

_WORDS: dict[Task, str] = {
    "derain": r"derain",
    "deblur": r"deblur",
    "denoise": r"denois",
    "cs": r"compress|sensing|(?<![a-z])cs(?![a-z])",
}
"""How a path names a task."""

_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class NotWeightsError(Exception):
    """A downloaded file has no weights in the authors' format."""


@dataclass(frozen=True)
class WantedNetwork:
    """One of the networks that the authors have published.

    Raises:
        ConfigError: if the paper has no such network.
    """

    task: Task
    variant: Variant
    ratio: int | None

    def __post_init__(self) -> None:
        preset(self.task, self.variant, ratio=self.ratio)

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f" {self.ratio} %"
        return f"{self.task}{ratio} {self.variant}"


@dataclass(frozen=True)
class FoundMember:
    """The weights that were chosen.

    Attributes:
        name: path in the archive.
        network: the network with these weights.
        origin: metadata of `import_official`.
    """

    name: str
    network: DGUNet
    origin: dict[str, str]


def find_member(file: Path, work: Path, wanted: WantedNetwork) -> FoundMember:
    """Find the one member of an archive that is the wanted network; ``file`` may be one itself.

    Args:
        file: archive of weights in any folder tree, or a single file of weights.
        work: empty folder to unpack into.
        wanted: the network.

    Raises:
        NotWeightsError: if there are no weights in ``file``.
        DataError: if the archive is damaged or unsafe.
        CheckpointError: if no member, or more than one, is this network; the error lists them.
    """
    members = _members(file, work)
    fitting: list[str] = []
    others: list[str] = []
    for name, path in members.items():
        reason = _unfit(path, wanted)
        (others if reason else fitting).append(f"{name} ({reason})" if reason else name)
    chosen = _choose(fitting, wanted)
    if chosen is None:
        raise _undecided(file, wanted, fitting, others)
    network, origin = import_official(members[chosen], task=wanted.task)
    return FoundMember(chosen, network, origin)


def _members(file: Path, work: Path) -> dict[str, Path]:
    """Files of weights by their path in the archive."""
    if _is_weights(file):
        return {file.name: file}
    if not is_archive(file):
        raise NotWeightsError("the file is neither weights nor a zip or tar archive")
    unpack(file, work, SUFFIXES)
    found = sorted(path for path in work.rglob("*") if path.is_file())
    if not found:
        raise NotWeightsError(f"the archive holds no {', '.join(sorted(SUFFIXES))} file")
    return {path.relative_to(work).as_posix(): path for path in found}


def _is_weights(file: Path) -> bool:
    """Whether a file is a pickle of torch: in its zip format, or in the older one."""
    if not zipfile.is_zipfile(file):
        with file.open("rb") as handle:
            return handle.read(2) in _PICKLES
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False
    return any(name == "data.pkl" or re.fullmatch(r"[^/]+/data\.pkl", name) for name in names)


def _unfit(path: Path, wanted: WantedNetwork) -> str:
    """Why a file is not the wanted network; "" if it is, by its keys and shapes."""
    try:
        file = read_official(path)
        config = recognise(file, task=_readable_task(file, wanted.task))
        if (config.task == "cs") != (wanted.task == "cs"):
            return "for another task"
        if (config.variant, config.ratio) != (wanted.variant, wanted.ratio):
            ratio = "" if config.ratio is None else f" {config.ratio} %"
            return f"{config.variant}{ratio}"
        import_official(path, task=wanted.task)
    except CheckpointError as error:
        return "not the network: " + " ".join(error.message.split())[:160]
    return ""


def _readable_task(file: OfficialFile, task: Task) -> Task | None:
    """``task``, unless the sampling matrix shows that the file is for another one."""
    return task if ("Phi" in file.tensors) == (task == "cs") else None


def _choose(fitting: list[str], wanted: WantedNetwork) -> str | None:
    """The only member that can be meant; None if the names do not tell."""
    named = [name for name in fitting if wanted.task in _tasks_named(name)]
    if len(named) == 1:
        return named[0]
    if named or len(fitting) != 1 or _tasks_named(fitting[0]):
        return None
    # Deblurring and denoising have one network in common: without its folder it may be either.
    shared = wanted.variant == "DGUNet" and wanted.task in ("deblur", "denoise")
    return None if shared else fitting[0]


def _tasks_named(name: str) -> set[Task]:
    lower = name.lower()
    return {task for task, words in _WORDS.items() if re.search(words, lower)}


def _undecided(
    file: Path, wanted: WantedNetwork, fitting: list[str], others: list[str]
) -> CheckpointError:
    hint = (
        f"Unpack {file} and give the right file: `dgunet checkpoint import FILE --task"
        f" {wanted.task} --out OUT.safetensors`."
    )
    if fitting:
        return CheckpointError(
            f"{file}: which file is {wanted} cannot be decided by the folders' names:"
            f" {', '.join(fitting)}.",
            hint,
        )
    listed = "; ".join(others[:12])
    return CheckpointError(f"{file}: no file in it is {wanted}: {listed}.", hint)
