"""The definition of a metric protocol, and the score of one image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dgunet.evaluation.ssim import SsimDefinition
from dgunet.imaging.arrays import Array, require_finite
from dgunet.imaging.opencv import leave_out_ipp
from dgunet.system.errors import EvaluationError
from dgunet.system.files import sha256_json


@dataclass(frozen=True)
class Score:
    """One image's quality: PSNR in dB (``inf`` for identical images) and SSIM (at most 1)."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Protocol:
    """Definition of the scores in one column of the paper's tables.

    ``quantise`` turns a network's output into the array that is scored; ``score`` compares such
    an array with its target. Both are pure functions over (height, width, channels) arrays.

    Attributes:
        name: key of ``PROTOCOLS``.
        version: increases when the definition changes.
        tables: the paper's tables that use it.
        reads: what is read and how it is rounded.
        colour: colour conversion before scoring.
        data_range: the peak of PSNR and the L of SSIM.
        psnr: definition, and the value for identical images.
        ssim: window, constants, border, averaging over the map.
        averaging: from images to the cell of a table.
        padding: what is added before the network and removed after it.
        clipping: range to which the network's output is clipped, and when.
        source: where the definition comes from.
        silent: what the paper leaves open and the released code decides.
        self_ensemble: whether the released test restores with the x8 self-ensemble.
        tile: side of the square tiles that the released test restores one by one, or None
            for whole images.
        channels: of the scored array; 3 is RGB, 1 is luma.
        window: the SSIM definition in numbers; None where images are aligned first or only a
            server scores.
    """

    name: str
    version: int
    tables: str
    reads: str
    colour: str
    data_range: float
    psnr: str
    ssim: str
    averaging: str
    padding: str
    clipping: str
    source: str
    silent: str
    self_ensemble: bool
    tile: int | None
    channels: int
    window: SsimDefinition | None
    _quantise: Callable[[Array], Array] = field(repr=False, compare=False)
    _score: Callable[[Array, Array], Score] | None = field(repr=False, compare=False)

    @property
    def scores_locally(self) -> bool:
        """Whether images can be scored here; False when only a server has the targets."""
        return self._score is not None

    def quantise(self, restored: Array) -> Array:
        """The array that is scored.

        Args:
            restored: float, shape (H, W, C); values outside [0, 1] are clipped.

        Raises:
            EvaluationError: for integers, NaN or infinite values.
        """
        require_finite("restored", restored)
        return self._quantise(restored)

    def score(self, restored: Array, target: Array) -> Score:
        """Compare a quantised restored image with its target.

        Args:
            restored: as ``quantise`` returns it: uint8 (H, W, 3) for the RGB protocols,
                float32 in [0, 1] for ``sidd-blocks``, float64 in [0, 255] for ``cs-y``.
            target: uint8, shape (H, W, 3); for ``cs-y`` also (H, W, 1).

        Raises:
            EvaluationError: for any other type, layout, range or size, for NaN, and under
                ``dnd-server``, whose targets only its server holds.
        """
        if self._score is None:
            raise EvaluationError(
                f"protocol {self.name} has no local score.",
                "Bundle the results (dgunet dnd bundle), send them to the benchmark's server, and "
                "enter the mailed score with dgunet dnd record.",
            )
        leave_out_ipp()
        return self._score(restored, target)

    def describe(self) -> dict[str, Any]:
        """All facts of the definition, as JSON values."""
        hidden = {"_quantise", "_score", "window"}
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in hidden}
        return facts | {"window": asdict(self.window) if self.window else None}

    @property
    def digest(self) -> str:
        """SHA-256 of ``describe()``; scores are comparable only if their digests are equal."""
        return sha256_json(self.describe())
