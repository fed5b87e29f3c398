"""Import and export of the authors' checkpoints: their keys, and which network a file contains.

The authors' files are pickles of a state dict whose keys have a data-parallel prefix, wrapped as
``{"state_dict": ...}`` for deraining, deblurring and denoising and bare for compressive sensing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from dgunet.network.checkpoint import compare_keys, shapes
from dgunet.network.config import DGUNetConfig, preset
from dgunet.network.dgunet import DGUNet
from dgunet.network.layers import SCALES
from dgunet.network.official_file import PREFIX, OfficialFile, read_official
from dgunet.network.official_names import REPOSITORY
from dgunet.network.structure import RATIOS
from dgunet.system.errors import CheckpointError
from dgunet.system.files import write_bytes
from dgunet.terms import TASKS

Pairs = Iterator[tuple[str, str]]
"""(key in the authors' state dict, our key), in the order of the authors' state dict."""


def official_keys(config: DGUNetConfig) -> list[tuple[str, str]]:
    """Return (the authors' key, our key) for every tensor, in the order of their state dict.

    Raises:
        CheckpointError: if the authors' code has no such network; widths may differ.
    """
    released = preset(config.task, config.variant, ratio=config.ratio)
    free = ("n_feat", "scale", "last_width", "gradient_width", "proximal_domain")
    ours, theirs = config.to_dict(), released.to_dict()
    if changed := [name for name in ours if name not in free and ours[name] != theirs[name]]:
        raise CheckpointError(
            f"the authors' format has no network with {changed[0]}={ours[changed[0]]!r}.",
            "Export a network of the released architecture, or use the safetensors file.",
        )
    if config.task == "cs":
        return list(_sensing(config))
    return list(_shared(config) if config.shared else _plus(config))


def _both(theirs: str, ours: str) -> Pairs:
    """Yield the pairs of a weight and its bias."""
    for leaf in ("weight", "bias"):
        yield f"{theirs}.{leaf}", f"{ours}.{leaf}"


def _gradient_block(theirs: str, ours: str) -> Pairs:
    yield from _both(f"{theirs}.body.0", f"{ours}.expand")
    yield f"{theirs}.body.1.weight", f"{ours}.activation.weight"
    yield from _both(f"{theirs}.body.2", f"{ours}.reduce")


def _shallow(theirs: str, ours: str) -> Pairs:
    yield f"{theirs}.0.weight", f"{ours}.lift.weight"
    for their_leaf, our_leaf in (
        ("CA.conv_du.0", "squeeze"),
        ("CA.conv_du.2", "excite"),
        ("body.0", "expand"),
        ("body.1", "activation"),
        ("body.2", "reduce"),
    ):
        yield f"{theirs}.1.{their_leaf}.weight", f"{ours}.attend.{our_leaf}.weight"


def _residual_block(theirs: str, ours: str) -> Pairs:
    for their_leaf, our_leaf in (
        ("identity", "identity"),
        ("conv_1", "first"),
        ("conv_2", "second"),
    ):
        yield from _both(f"{theirs}.{their_leaf}", f"{ours}.{our_leaf}")


def _encoder(theirs: str, ours: str, fusions: str | None, *, spatial: bool) -> Pairs:
    for i in range(SCALES + 1):
        yield from _residual_block(f"{theirs}.body.{i}", f"{ours}.blocks.{i}")
        if fusions is not None and i < SCALES:
            yield from _both(f"{theirs}.body.{i}.csff_enc", f"{fusions}.{i}.from_encoder")
            yield from _both(f"{theirs}.body.{i}.csff_dec", f"{fusions}.{i}.from_decoder")
            if spatial:
                yield from _both(f"{theirs}.body.{i}.phi", f"{fusions}.{i}.alpha")
                yield from _both(f"{theirs}.body.{i}.gamma", f"{fusions}.{i}.beta")
        yield from _both(f"{theirs}.body.{i}.norm", f"{ours}.blocks.{i}.norm.norm")
        if i < SCALES:
            yield f"{theirs}.body.{i}.downsample.weight", f"{ours}.down.{i}.weight"


def _decoder(theirs: str, ours: str) -> Pairs:
    for i in range(SCALES):
        yield from _both(f"{theirs}.body.{i}.up", f"{ours}.up.{i}")
        yield from _residual_block(f"{theirs}.body.{i}.conv_block", f"{ours}.blocks.{i}")
    for i in range(SCALES):
        yield from _both(f"{theirs}.skip_conv.{i}", f"{ours}.skips.{i}")


def _sam(theirs: str, ours: str, *, attention: bool) -> Pairs:
    yield f"{theirs}.conv1.weight", f"{ours}.features.weight"
    yield f"{theirs}.conv2.weight", f"{ours}.image.weight"
    if attention:
        yield f"{theirs}.conv3.weight", f"{ours}.attention.weight"


def _merge(theirs: str, ours: str) -> Pairs:
    yield from _both(f"{theirs}.conv_block", f"{ours}.merge")
    yield from _both(f"{theirs}.subnet", f"{ours}.subspace")


def _pair(k: int, ours: str, prefix: str = "") -> Pairs:
    yield from _gradient_block(f"{prefix}phi_{k}", f"{ours}.gradient.f_a")
    yield from _gradient_block(f"{prefix}phit_{k}", f"{ours}.gradient.f_at")


def _shared(config: DGUNetConfig) -> Pairs:
    """DGUNet for deraining, deblurring and denoising: stages 2 to 6 are the authors' ``basic``."""
    yield "r0", "first.gradient.rho"
    yield "r6", "last.gradient.rho"
    ours, basic = "middle.0", "basic."
    yield f"{basic}r1", f"{ours}.gradient.rho"
    yield from _pair(1, ours, basic)
    yield from _shallow(f"{basic}shallow_feat2", f"{ours}.shallow")
    encoder = f"{ours}.encoder"
    yield from _encoder(f"{basic}stage2_encoder", encoder, f"{encoder}.fusions", spatial=True)
    yield from _decoder(f"{basic}stage2_decoder", f"{ours}.decoder")
    yield from _sam(f"{basic}sam23", f"{ours}.sam", attention=False)
    yield f"{basic}concat12.weight", "dormant.concatenation.merge.weight"
    yield from _merge(f"{basic}merge12", f"{ours}.inject")
    yield from _shallow("shallow_feat1", "first.shallow")
    yield from _shallow("shallow_feat7", "last.shallow")
    yield from _encoder("stage1_encoder", "first.encoder", None, spatial=True)
    yield from _decoder("stage1_decoder", "first.decoder")
    yield from _sam("sam12", "first.sam", attention=False)
    yield from _pair(0, "first")
    yield from _pair(6, "last")
    yield "concat67.weight", "last.inject.merge.weight"
    yield "tail.weight", "last.tail.weight"


def _plus(config: DGUNetConfig) -> Pairs:
    """DGUNet+ for deraining, deblurring and denoising: every stage has its own modules."""
    stages = ["first", *(f"middle.{i}" for i in range(config.stages - 2)), "last"]
    for k, ours in enumerate(stages):
        yield f"r{k}", f"{ours}.gradient.rho"
    for k, ours in enumerate(stages, start=1):
        yield from _shallow(f"shallow_feat{k}", f"{ours}.shallow")
    for k, ours in enumerate(stages):
        yield from _pair(k, ours)
    for k, ours in enumerate(stages[:-1], start=1):
        fusions = f"{ours}.encoder.fusions" if k > 1 else None
        yield from _encoder(f"stage{k}_encoder", f"{ours}.encoder", fusions, spatial=True)
        yield from _decoder(f"stage{k}_decoder", f"{ours}.decoder")
    for k, (ours, following) in enumerate(pairwise(stages), start=1):
        yield from _sam(f"sam{k}{k + 1}", f"{ours}.sam", attention=False)
        yield from _merge(f"merge{k}{k + 1}", f"{following}.inject")
    yield "tail.weight", "last.tail.weight"


def _sensing(config: DGUNetConfig) -> Pairs:
    """Compressive sensing, both variants; block and image networks have the same keys."""
    yield "Phi", "operator.phi"
    yield "r0", "first.gradient.rho"
    yield "r_final", "last.gradient.rho"
    yield from _shallow("shallow_feat1", "first.shallow")
    for i in range(1 if config.shared else config.stages - 2):
        theirs, ours = "stage_model" if config.shared else f"body.{i}", f"middle.{i}"
        yield f"{theirs}.r", f"{ours}.gradient.rho"
        yield from _shallow(f"{theirs}.shallow_feat", f"{ours}.shallow")
        encoder = f"{ours}.encoder"
        yield from _encoder(f"{theirs}.stage_encoder", encoder, f"{encoder}.fusions", spatial=False)
        yield from _decoder(f"{theirs}.stage_decoder", f"{ours}.decoder")
        yield from _sam(f"{theirs}.sam", f"{ours}.sam", attention=True)
        yield from _gradient_block(f"{theirs}.phi", f"dormant.gradients.{i}.0")
        yield from _gradient_block(f"{theirs}.phit", f"dormant.gradients.{i}.1")
        yield f"{theirs}.concat.weight", f"{ours}.inject.merge.weight"
    yield from _shallow("shallow_feat_final", "last.shallow")
    yield from _encoder("stage1_encoder", "first.encoder", "dormant.fusions", spatial=False)
    yield from _decoder("stage1_decoder", "first.decoder")
    yield from _sam("sam12", "first.sam", attention=True)
    yield "concat_final.weight", "last.inject.merge.weight"
    yield "tail.weight", "last.tail.weight"


def recognise(
    file: OfficialFile, *, task: str | None = None, proximal_domain: str = "image"
) -> DGUNetConfig:
    """Determine from keys and widths which of the authors' networks ``file`` contains.

    Args:
        file: the checkpoint.
        task: the task; required only for DGUNet for deblurring and denoising, which are the same
            network.
        proximal_domain: "image" or "block"; the weights of both training steps of compressive
            sensing have the same keys and shapes.

    Returns:
        The configuration. If no network fits, this is one of the authors' networks, so that the
        later comparison of keys lists the differences.

    Raises:
        CheckpointError: if several networks are possible, or none for ``task`` or the ratio.
        ConfigError: for an unknown task or proximal domain.
    """
    tensors = file.tensors
    if ("Phi" in tensors) != (task == "cs") and task is not None:
        raise CheckpointError(
            f"{file.path} {'has' if 'Phi' in tensors else 'lacks'} the sampling matrix Phi, so it"
            f" is not a network for {task}.",
            "Omit --task to detect the task from the file.",
        )
    if "Phi" in tensors:
        shared = any(key.startswith("stage_model.") for key in tensors)
        ratio = _ratio(file)
        return preset(
            "cs",
            "DGUNet" if shared else "DGUNet+",
            ratio=ratio,
            proximal_domain=proximal_domain,
        )
    variant = "DGUNet" if any(key.startswith("basic.") for key in tensors) else "DGUNet+"
    if task is not None:
        return preset(task, variant)
    widths = [tensors.get(key) for key in ("shallow_feat1.0.weight", _FIRST_BLOCK)]
    found = [None if w is None or w.ndim == 0 else w.shape[0] for w in widths]
    configs = [preset(name, variant) for name in TASKS if name != "cs"]
    fitting = [c for c in configs if found == [c.n_feat, c.width(1)]]
    if len(fitting) > 1:
        names = " and ".join(c.task for c in fitting)
        raise CheckpointError(
            f"{file.path}: {names} {variant} are the same network.", "Set the task with --task."
        )
    # If none fits, the comparison of keys with any of them lists the differences.
    return fitting[0] if fitting else configs[0]


_FIRST_BLOCK = "stage1_encoder.body.0.conv_1.weight"


def _ratio(file: OfficialFile) -> int:
    shape = tuple(file.tensors["Phi"].shape)
    rows = shape[0] if len(shape) == 2 else 0
    for ratio in RATIOS:
        if preset("cs", ratio=ratio).measurements == rows:
            return ratio
    raise CheckpointError(
        f"{file.path}: Phi has shape {shape}, which matches no known ratio.",
        f"The ratios are {', '.join(map(str, RATIOS))} percent of 1024 pixels.",
    )


def import_official(
    path: Path | str,
    *,
    task: str | None = None,
    proximal_domain: str = "image",
    config: DGUNetConfig | None = None,
) -> tuple[DGUNet, dict[str, str]]:
    """Load a checkpoint in the authors' format.

    Args:
        path: the file.
        task: as in :func:`recognise`.
        proximal_domain: as in :func:`recognise`.
        config: the expected network; by default :func:`recognise` determines it.

    Returns:
        The network, in evaluation mode on the CPU, and its origin as metadata for
        ``save_network``: ``origin``, ``origin_sha256``, ``origin_format``, ``origin_dropped``.

    Raises:
        CheckpointError: if the file is unreadable, its keys or shapes are not those of the network
            (the message lists them), or values are not finite.
    """
    file = read_official(path)
    config = config or recognise(file, task=task, proximal_domain=proximal_domain)
    table = dict(official_keys(config))
    network = DGUNet(config)
    # float64 weights keep their precision; all other types become float32.
    network.to(torch.promote_types(torch.float32, _dtype(file.tensors)))
    targets = network.state_dict(keep_vars=True)
    wanted = {theirs: tuple(targets[ours].shape) for theirs, ours in table.items()}
    compare_keys(wanted, shapes(file.tensors), str(path))
    if broken := [key for key, tensor in file.tensors.items() if not tensor.isfinite().all()]:
        raise CheckpointError(
            f"{path}: {len(broken)} keys have NaN or infinite values: {', '.join(broken)}.",
            "The training diverged; use an earlier checkpoint.",
        )
    with torch.no_grad():
        # In module order, whatever the order of the file, as torch's `load_state_dict`: if several
        # keys share one parameter, that of the last module takes effect.
        for theirs, ours in table.items():
            targets[ours].copy_(file.tensors[theirs])
    wrapped = {"": "bare", "state_dict": "wrapped"}.get(file.wrapper, f"under {file.wrapper}")
    form = f"{wrapped}{', ' + file.prefix if file.prefix else ''}"
    return network.eval(), {
        "origin": file.path.name,
        "origin_sha256": file.sha256,
        "origin_format": f"{REPOSITORY} ({form})",
        "origin_dropped": str(len(file.dropped)),
    }


def _dtype(tensors: Mapping[str, Tensor]) -> torch.dtype:
    """Return the data type that can represent all ``tensors``."""
    return reduce(torch.promote_types, (tensor.dtype for tensor in tensors.values()))


def official_state(network: DGUNet) -> dict[str, Tensor]:
    """Return the network's tensors under the authors' keys, in their order, without the prefix.

    Raises:
        CheckpointError: if the authors' code has no such network.
    """
    state = network.state_dict()
    return {theirs: state[ours].cpu() for theirs, ours in official_keys(network.config)}


def export_official(network: DGUNet, path: Path | str) -> None:
    """Write ``network`` in the authors' format: prefixed keys, wrapped except for sensing.

    Raises:
        CheckpointError: if the authors' code has no such network.
    """
    state = {PREFIX + key: tensor.clone() for key, tensor in official_state(network).items()}
    content = state if network.config.task == "cs" else {"state_dict": state}
    # Saved to memory first, because torch.save writes the file's name into the file.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(Path(path), buffer.getvalue())
