"""Differences between the paper and the released code, as data, and how this project handles them.

Where a difference concerns the network, its row names the field of :class:`DGUNetConfig` in which
the ``paper`` and the ``released`` architecture differ; tests compare the table with the presets.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Erratum:
    """One difference between the paper and the released code.

    Attributes:
        topic: what differs.
        paper: what the paper says.
        code: what the released code does.
        evidence: where the difference shows, such as keys and shapes of the authors' state dict
            or a section of the paper.
        field: the field of DGUNetConfig that selects one of the two; None if the networks do not
            differ.
        settled: what this project does; used in rows without a field.
    """

    topic: str
    paper: str
    code: str
    evidence: str
    field: str | None = None
    settled: str = ""


ERRATA: tuple[Erratum, ...] = (
    # Gradient step, Eq. (6) and (7).
    Erratum(
        "Algorithm 1, the two cases",
        "unknown A takes Eq. (6), known A takes Eq. (7)",
        "unknown A (restoration) takes Eq. (7), known A (sensing) takes Eq. (6)",
        "Section 3.2 introduces the equations the other way round; state dicts: `phi_*` pairs in"
        " restoration, `Phi` in sensing",
        settled="a misprint; both architectures follow Section 3.2",
    ),
    Erratum(
        "Algorithm 1, start",
        "x_hat^0 = y",
        "restoration y; sensing Phi^T y",
        "Section 3.2; measurements are not an image, so y cannot be x_hat^0",
        settled="as in the code, in both architectures",
    ),
    Erratum(
        "Residual blocks of Eq. (7)",
        "two independent residual blocks (convolution, ReLU, convolution, as elsewhere)",
        "convolution from 3 to 64 channels, PReLU, convolution from 64 to 3, plus identity",
        "`phi_0.body.1.weight` is a single slope; `phi_0.body.0.weight` is (64, 3, 3, 3)",
        field="gradient_activation",
    ),
    # Proximal mapping.
    Erratum(
        "Downsampling",
        "2 x 2 max-pooling, stride 2",
        "4 x 4 convolution, stride 2, no bias",
        "`stage1_encoder.body.0.downsample.weight` is (60, 60, 4, 4)",
        field="downsample",
    ),
    Erratum(
        "Upsampling",
        "bilinear, then a convolution",
        "2 x 2 transposed convolution",
        "`stage1_decoder.body.0.up.weight` is (100, 80, 2, 2)",
        field="upsample",
    ),
    Erratum(
        "Normalisation in the encoder",
        "residual blocks without normalisation",
        "instance normalisation of the first half of the channels",
        "`stage1_encoder.body.0.norm.weight` is (30,) for 60 channels",
        field="encoder_norm",
    ),
    Erratum(
        "Residual block",
        "convolution, ReLU, convolution, plus identity",
        "LeakyReLU 0.2 after both convolutions, plus a 1 x 1 convolution of the input",
        "`stage1_encoder.body.0.identity.weight` is (60, 40, 1, 1)",
        field="residual_block",
    ),
    Erratum(
        "Skips into the decoder",
        "added (Fig. 2)",
        "each passes a 3 x 3 convolution, then is concatenated",
        "`stage1_decoder.skip_conv.0`; `body.0.conv_block.conv_1.weight` takes twice the channels",
        field="decoder_merge",
    ),
    Erratum(
        "Supervised attention module",
        "the one of MPRNet, with its attention map",
        "restoration: without the map; sensing: with it",
        "`sam12.conv3.weight` exists in sensing only",
        field="sam_attention",
    ),
    Erratum(
        "SAM features into the next stage",
        "subspace projection",
        "restoration: subspace projection; sensing: concatenation and convolution",
        "`basic.merge12.subnet` in restoration, `stage_model.concat` in sensing",
        field="injection",
    ),
    Erratum(
        "SAM features into the last stage",
        "subspace projection",
        "DGUNet+ for restoration: subspace projection; DGUNet and sensing: concatenation",
        "`merge67` in DGUNet+; `concat67` and `concat_final` in the others",
        field="last_injection",
    ),
    Erratum(
        "Last stage",
        "every stage has a gradient step and a complete proximal mapping",
        "stage 7: shallow features, merge and one convolution; no encoder, decoder or fusion",
        "no `stage7_encoder` in any state dict",
        field="last_stage",
    ),
    Erratum(
        "Skip around the last stage",
        "a global pathway from the input of the mapping, v^K, to its output",
        "restoration adds the degraded image y; sensing adds v^K",
        "golden outputs of stage 7",
        field="last_skip",
    ),
    # Inter-stage feature fusion, Eq. (8).
    Erratum(
        "Fusion in compressive sensing",
        "spatial-adaptive, for every task",
        "sensing: plain addition of the two embeddings",
        "no `phi` or `gamma` next to `csff_enc` in the sensing encoders",
        field="fusion",
    ),
    Erratum(
        "Embeddings of Eq. (8)",
        "1 x 1 convolutions",
        "3 x 3 convolutions",
        "`basic.stage2_encoder.body.0.csff_enc.weight` is (60, 60, 3, 3)",
        field="fusion_kernel",
    ),
    Erratum(
        "Activation of H",
        "none: the sum of the two embeddings",
        "LeakyReLU 0.1 of the sum (restoration)",
        "golden outputs of stages 2 to 6",
        field="fusion_activation",
    ),
    Erratum(
        "Gain alpha",
        "alpha = Conv(H)",
        "alpha = 1 + sigmoid(Conv(H)) (restoration)",
        "golden outputs of stages 2 to 6",
        field="fusion_gain",
    ),
    Erratum(
        "Index of H",
        "H^k in the text, H^{k-1} in Eq. (8)",
        "features of stage k-1 modulate stage k",
        "Eq. (9) takes F^{k-1}",
        settled="H is computed from the features of stage k-1, in both architectures",
    ),
    # Sharing.
    Erratum(
        "Independence of the stages of DGUNet+",
        "all parameters independent",
        "one PReLU slope for all gradient blocks, one for all channel attention blocks",
        "equal parameters under 14 and 7 keys of the DGUNet+ state dict",
        field="prelu_sharing",
    ),
    Erratum(
        "Unused parameters",
        "none",
        "DGUNet: `basic.concat12`; sensing: `phi`, `phit` of every middle stage and the fusion"
        " convolutions of stage 1",
        "no gradient reaches them",
        field="dormant",
    ),
    # Widths, training, evaluation, tables: no network field.
    Erratum(
        "Channel widths",
        "not stated",
        "40/20 for deraining, 80/48 for deblurring and denoising, 96/48 and 80/40 for their"
        " DGUNet+, 32/16 for sensing",
        "shapes of the state dicts; parameter counts in the authors' logs",
        settled="the code's widths in both architectures (`n_feat`, `scale`)",
    ),
    Erratum(
        "Two training steps of compressive sensing",
        "not mentioned",
        "first on separate 32 x 32 blocks, then fine-tuning with the mapping on the whole image",
        "two network files with equal state dicts",
        settled='`proximal_domain`: "block" or "image", an option of both architectures',
    ),
    Erratum(
        "Loss, Eq. (10)",
        "sum of squared errors over the stages",
        "deraining, deblurring: Charbonnier + 0.05 edge; denoising: Charbonnier of clamped images;"
        " sensing: mean squared error of clamped images",
        "training scripts",
        settled="the recipes offer both (`dgunet.recipes`)",
    ),
    Erratum(
        "Learning rate and length",
        "2e-4, 4e5 iterations, 256 x 256, batch 16 for three tasks",
        "2e-4, 1e-4, 1e-4; 214,250, 396,000 and 480,000 iterations; denoising 128 x 128",
        "training configurations",
        settled="one recipe for each training (`dgunet.recipes`)",
    ),
    Erratum(
        "Augmentation and weight decay",
        '"the same strategy as MPRNet"',
        "denoising: MixUp, Adam L2 1e-8, a longer cosine; deblurring: saturation jitter",
        "training scripts",
        settled="one recipe for each training (`dgunet.recipes`)",
    ),
    Erratum(
        "Sensing training",
        "BSD400, batch 128, 200 epochs",
        "DIV2K and BSD400, batch 32, 400 epochs, then 100 epochs of fine-tuning",
        "training scripts and the authors' answer in their issue 5",
        settled="one recipe for each training (`dgunet.recipes`)",
    ),
    Erratum(
        "Self-ensemble in denoising",
        "not mentioned",
        "average over eight flips and rotations for SIDD and DND",
        "test scripts",
        settled="an option of the evaluation protocols",
    ),
    Erratum(
        "SSIM",
        "the definition is not stated",
        "four different ones: 2-D Gaussian on Y, 3-D Gaussian on RGB, masked, 7 x 7 uniform",
        "evaluation scripts",
        settled="one evaluation protocol for each",
    ),
    Erratum(
        "Model selection",
        "not stated",
        "best epoch on a test set (Rain100L, GoPro or Set11)",
        "training scripts",
        settled="held-out training pairs by default; other selections can be configured",
    ),
    Erratum(
        "Table 5",
        "columns run into each other",
        "(stages, scales): (9,3) 31.27, (7,3) 31.06, (5,3) 30.87, (3,3) 30.68, (7,2) 30.43,"
        " (7,1) 29.67",
        "names of files and logs that remain in the authors' repository",
        settled="`stages` and `fusion_scales`; fewer scales keep the finest",
    ),
    Erratum(
        "Table 6, without ISFF",
        "inter-stage feature fusion removed",
        "the file in the authors' repository also removes the SAM features and their merge",
        "Section 4.6; 30.09 dB without fusion is higher than 29.67 dB with one scale",
        settled='`fusion="none"` removes Eq. (8) only, as the text says',
    ),
    Erratum(
        "Table 1, average of DGUNet+",
        "33.46",
        "the five printed numbers give 33.452",
        "Table 1",
        settled="averages are computed from unrounded means",
    ),
    Erratum(
        "Size of Test100",
        "100 pairs, by the name of the set",
        "98 pairs: two images were too large for MSPFN, and MPRNet and DGUNet follow it",
        "the authors of MPRNet in their issue 23",
        settled="98 pairs are complete; a set of 100 is recognised as Rain800's test half",
    ),
    Erratum(
        "Size of Rain13K",
        "13,712 pairs",
        "13,711 pairs: one was removed because its two images differ in size",
        "the authors of MPRNet in their issue 74; both numbers make 857 steps per epoch",
        settled="13,711 pairs are complete; the parts add up to the printed 13,712",
    ),
    Erratum(
        "Backgrounds in training and test",
        "not mentioned",
        "546 of the 1,800 images of Rain1800, part of Rain13K, show backgrounds of Rain100H's test"
        " images",
        "README of PReNet, which trains on the other 1,254",
        settled="`dgunet data check` lists the shared photographs",
    ),
    Erratum(
        "Photographs in two test sets",
        "not mentioned",
        "Rain100H and Rain100L have the same clean images; 24 of their photographs are in BSD68",
        "pixels of the three sets",
        settled="`dgunet data check` notes them; no leak, but the scores are not independent",
    ),
    Erratum(
        "Training data of the rivals in Table 4",
        "not mentioned; DGUNet on BSD400",
        "DGUNet on DIV2K and BSD400; the rivals were not retrained on them",
        "the authors' answer in their issue 5",
        settled="the rivals' printed values are quoted as they are",
    ),
    Erratum(
        "Link to Set11 and BSD68",
        "none",
        "the README of compressive sensing links the GoPro test folder as their images",
        "the same folder is MPRNet's GoPro test set",
        settled="both sets are recognised by their pixels (`dgunet data check`)",
    ),
    Erratum(
        "Number of test sets",
        "twelve",
        "the tables list eleven",
        "Tables 1 to 4; RealBlur has scripts and no published numbers",
        settled="the eleven sets with numbers, and RealBlur as a protocol",
    ),
    Erratum(
        "Training time",
        "three days on two V100 GPUs",
        "29 minutes per epoch, so five days for 250 epochs",
        "the authors' deraining log",
        settled="only measured times are reported",
    ),
)
"""All known differences, in the order of the paper."""


def errata_markdown() -> str:
    """Format the table as a Markdown page."""
    lines = [
        "# Errata: the paper and its code",
        "",
        "Generated by `dgunet errata --markdown`; do not edit. Where the last column names a field,"
        ' `preset(..., architecture="paper")` and `preset(..., architecture="released")` differ in'
        " that field of the configuration, and in no others.",
        "",
        "| # | Topic | Paper | Code | Evidence | Field, or what dgunet does |",
        "|---|---|---|---|---|---|",
    ]
    for number, row in enumerate(ERRATA, start=1):
        last = f"`{row.field}`" if row.field else row.settled
        cells = (str(number), row.topic, row.paper, row.code, row.evidence, last)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
