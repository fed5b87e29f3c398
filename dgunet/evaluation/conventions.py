"""The conventions under which people compute PSNR and SSIM, as data, with who uses them.

They are built from the same parts as the protocols. The protocols of this project are among them;
`convention_scores` computes them, `explanation` compares them with a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.evaluation.ssim import SsimDefinition

Output = Literal["8-bit", "float", "truncated", "unclipped"]
Colour = Literal["studio Y rounded", "studio Y", "full Y rounded", "full Y", "RGB"]
Average = Literal["images", "pixels", "errors"]

WANG = SsimDefinition("gaussian", 11, "valid", False, False, 255.0)
GAUSSIAN_REPLICATED = SsimDefinition("gaussian", 11, "replicate", False, False, 255.0)
GAUSSIAN_MIRRORED = SsimDefinition("gaussian", 11, "mirror", False, False, 255.0)
GAUSSIAN_SAMPLE = SsimDefinition("gaussian", 11, "valid", False, True, 255.0)
UNIFORM = SsimDefinition("uniform", 7, "valid", False, True, 255.0)
UNIFORM_DOUBLE = SsimDefinition("uniform", 7, "valid", False, True, 510.0)
VOLUME = SsimDefinition("gaussian", 11, "replicate", True, False, 255.0)

_OUTPUTS: dict[str, str] = {
    "8-bit": "outputs rounded to 8 bits",
    "float": "outputs as floats",
    "truncated": "outputs truncated to 8 bits",
    "unclipped": "outputs as floats, not clipped",
}
_COLOURS: dict[str, str] = {
    "studio Y rounded": "Y 16..235 rounded (MATLAB's rgb2ycbcr of uint8)",
    "studio Y": "Y 16..235 unrounded",
    "full Y rounded": "Y 0..255 rounded (OpenCV)",
    "full Y": "Y 0..255 unrounded",
    "RGB": "RGB",
}
_AVERAGES: dict[str, str] = {
    "images": "",
    "pixels": "PSNR of the mean squared error over all pixels of the set",
    "errors": "PSNR of the mean of the images' mean squared errors",
}
_BORDERS = {
    "valid": "without borders",
    "replicate": "borders replicated",
    "reflect": "borders reflected",
    "mirror": "borders mirrored",
}


@dataclass(frozen=True)
class Convention:
    """One way to compute PSNR and SSIM of a set of images.

    Attributes:
        name: short name of the line.
        used_by: projects whose code was read, or what kind of code does it.
        output: how the restored values are brought to the scored ones. 8-bit results are scored as
            they are under every output.
        colour: what the PSNR is computed on.
        window: the SSIM; the mean over channels unless it is a volume.
        ssim_colour: what the SSIM is computed on, if not ``colour``.
        crop: pixels removed on every side.
        by_channel: the PSNR is the mean of those of the channels.
        average: from images to the set: mean of the PSNRs, or the PSNR of a mean error.
        shrinks: large images are reduced by averaging before the SSIM, as piq does.
        twin: the convention that gives the same for 8-bit results, or "".
        protocol: the protocol of this project that defines the line, or "".
    """

    name: str
    used_by: str
    output: Output
    colour: Colour
    window: SsimDefinition
    ssim_colour: Colour | None = None
    crop: int = 0
    by_channel: bool = False
    average: Average = "images"
    shrinks: bool = False
    twin: str = ""
    protocol: str = ""

    @property
    def words(self) -> str:
        """The definition in words, made from its fields."""
        if self.protocol == "realblur-aligned":
            return "RGB, aligned with the target by a homography, under a mask"
        parts = [
            _COLOURS[self.colour],
            _OUTPUTS[self.output],
            f"{self.crop} border pixels removed" if self.crop else "",
            "mean of the channels' PSNRs" if self.by_channel else "",
            _AVERAGES[self.average],
            f"SSIM {self._window()}",
        ]
        return ", ".join(part for part in parts if part)

    def _window(self) -> str:
        window = self.window
        size = "x".join([str(window.size)] * (3 if window.volume else 2))
        kind = "Gaussian" if window.window == "gaussian" else "uniform"
        of = f" of {_COLOURS[self.ssim_colour]}" if self.ssim_colour else ""
        covariance = ", sample covariance" if window.sample_covariance else ""
        twice = ", L twice the range" if window.data_range == 510.0 else ""
        first = ", large images reduced first" if self.shrinks else ""
        return f"{size} {kind} {_BORDERS[window.border]}{covariance}{twice}{first}{of}"


_CHECKED = "no project checked"
_PROTOCOL_LINES = (
    Convention(
        "rain-y",
        "DGUNet and MPRNet (MATLAB), deraining",
        *("8-bit", "studio Y rounded", WANG),
        protocol="rain-y",
    ),
    Convention(
        "gopro-rgb",
        "DGUNet and MPRNet (MATLAB psnr and ssim), NAFNet, Restormer; deblurring",
        *("8-bit", "RGB", VOLUME),
        protocol="gopro-rgb",
    ),
    Convention(
        "sidd-blocks",
        "DGUNet and MPRNet (MATLAB psnr and ssim of floats), denoising",
        *("float", "RGB", VOLUME),
        protocol="sidd-blocks",
    ),
    Convention(
        "cs-y",
        "DGUNet and ISTA-Net (OpenCV and scikit-image), compressive sensing",
        *("float", "full Y rounded", UNIFORM),
        protocol="cs-y",
    ),
    Convention(
        "realblur-aligned",
        "DGUNet and MPRNet, RealBlur",
        *("8-bit", "RGB", WANG),
        protocol="realblur-aligned",
    ),
)
_LUMA_LINES = (
    Convention("y-basicsr", "BasicSR (test_y_channel)", "8-bit", "studio Y", WANG),
    Convention("y-nafnet", "NAFNet (test_y_channel)", "8-bit", "studio Y", GAUSSIAN_REPLICATED),
    Convention(
        "y-basicsr-torch",
        "BasicSR (calculate_psnr_pt)",
        *("float", "studio Y", WANG),
        twin="y-basicsr",
    ),
    *(
        Convention(
            f"y-crop-{scale}",
            f"BasicSR, RCAN (MATLAB), EDSR: super-resolution by {scale}",
            *("8-bit", "studio Y", WANG),
            crop=scale,
        )
        for scale in (2, 3, 4, 8)
    ),
    Convention(
        "y-rounded-crop-4",
        f"MATLAB scripts that shave the border; {_CHECKED}",
        *("8-bit", "studio Y rounded", WANG),
        crop=4,
    ),
    Convention(
        "y-rounded-pixels",
        f"scripts that average errors; {_CHECKED}",
        *("8-bit", "studio Y rounded", WANG),
        average="pixels",
    ),
    Convention(
        "y-full",
        f"Python scripts with OpenCV's COLOR_RGB2YCrCb; {_CHECKED}",
        *("8-bit", "full Y rounded", WANG),
    ),
    Convention(
        "y-full-saved",
        "ReconNet's PNG files: compressive sensing scored from 8-bit files",
        *("8-bit", "full Y rounded", UNIFORM),
        twin="cs-y",
    ),
    Convention(
        "y-full-truncated",
        "the PNG files that DGUNet's compressive-sensing test writes",
        *("truncated", "full Y rounded", UNIFORM),
        twin="cs-y",
    ),
)
_RGB_LINES = (
    Convention("rgb-basicsr", "BasicSR, mmagic", "8-bit", "RGB", WANG),
    Convention(
        "rgb-basicsr-torch",
        "BasicSR (calculate_psnr_pt)",
        *("float", "RGB", WANG),
        twin="rgb-basicsr",
    ),
    Convention("rgb-crop-4", "BasicSR (crop_border=4)", "8-bit", "RGB", WANG, crop=4),
    Convention("rgb-crop-10", "EDSR on DIV2K, by 4 (scale + 6)", "8-bit", "RGB", WANG, crop=10),
    Convention(
        "rgb-skimage", "scikit-image's default with data_range; PromptIR", "float", "RGB", UNIFORM
    ),
    Convention(
        "rgb-skimage-saved",
        "scikit-image's default on 8-bit files",
        *("8-bit", "RGB", UNIFORM),
        twin="rgb-skimage",
    ),
    Convention(
        "rgb-skimage-double",
        "scikit-image before 0.20 on floats without data_range; Uformer",
        *("float", "RGB", UNIFORM_DOUBLE),
    ),
    Convention(
        "rgb-skimage-gaussian",
        "scikit-image with gaussian_weights alone",
        *("float", "RGB", GAUSSIAN_SAMPLE),
    ),
    Convention(
        "rgb-torchmetrics",
        "torchmetrics, updated image by image",
        *("float", "RGB", GAUSSIAN_MIRRORED),
        average="pixels",
    ),
    Convention(
        "rgb-torchmetrics-each",
        "torchmetrics' functions, averaged over images",
        *("float", "RGB", GAUSSIAN_MIRRORED),
    ),
    Convention("rgb-piq", "piq's defaults", "float", "RGB", WANG, shrinks=True),
    Convention("pyiqa", "pyiqa (psnr, ssim)", "float", "RGB", WANG, ssim_colour="full Y rounded"),
    Convention("pyiqa-other", "pyiqa (psnry, ssimc)", "float", "full Y", WANG, ssim_colour="RGB"),
    Convention(
        "rgb-channels",
        f"loops over the channels; {_CHECKED}",
        *("8-bit", "RGB", WANG),
        by_channel=True,
    ),
    Convention("rgb-errors", f"training loops; {_CHECKED}", "8-bit", "RGB", WANG, average="errors"),
    Convention(
        "rgb-truncated",
        f"code that stores (x * 255).astype(uint8); {_CHECKED}",
        *("truncated", "RGB", WANG),
        twin="rgb-basicsr",
    ),
    Convention(
        "rgb-unclipped",
        f"losses that are reported as PSNR; {_CHECKED}",
        *("unclipped", "RGB", WANG),
        twin="rgb-basicsr",
    ),
)

CONVENTIONS: dict[str, Convention] = {
    each.name: each for each in (*_PROTOCOL_LINES, *_LUMA_LINES, *_RGB_LINES)
}
"""All conventions by name; those of the project's own protocols first."""

SERVER_ONLY = tuple(name for name, each in PROTOCOLS.items() if not each.scores_locally)
"""Protocols without a line, since only a server has their targets."""
