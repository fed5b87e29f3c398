"""Digests and identities in files of earlier versions do not change."""

import pytest
from training_small import ROOT, prepared

from dgunet.config import load_params
from dgunet.training.preparation import settings_digest

DIGESTS = {
    "sample": {
        "derain": "231f583ee406cb076501220d25b4a703967f91c1cc8af9050fa9ba848be4b8b5",
        "deblur": "003b15e39385419ac716f31de07f6c491b4d061258bc1d83054c002ec85e7105",
        "denoise": "68caebcced4755a7fe7920066ada0e2c4e9ebc0b9c46c44c3a28c24a2a28d77b",
        "cs": "265f040c98bc47722787daa2cb0fcd95fbfbdd618229a2a483abfe7b6e5afaeb",
        "ablate": "4f73bfaf85b4ff9c3a570c1a53eab912f7e238599f19db14d8683eb6594550e8",
    },
    "paper": {
        "derain": "6407921789e48cf6393ab3565358462dad0b2e2dcead3a70e353086c9cf48902",
        "deblur": "0928a28ccac884df79f1fbc35742f5311bda544743ff723f06c524fc107d137d",
        "denoise": "31e9a3287900ac663daedfa79a441952d1a62c8520b6b99f6f1ccad34b383c2c",
        "cs": "c26b58c0d77016d765056315ff2aa02b7af48ff24fc3abba2c596129ec5f3d99",
        "ablate": "6407921789e48cf6393ab3565358462dad0b2e2dcead3a70e353086c9cf48902",
    },
}
"""``train.config`` in the metadata of networks trained with the committed params.yaml."""

TEXTS = {
    "iterations": "12",
    "batch": "2",
    "patch": "32",
    "learning_rate": "0.003",
    "warmup": "3",
    "learning_rate_min": "1e-06",
    "augment": "symmetries",
    "crops": "1",
    "beside": "()",
    "rate_every": "1",
    "rate_period": "0",
    "halve_at": "()",
    "loss": "l2",
    "weight_decay": "0.0",
    "mixup_after": "None",
    "micro_batch": "0",
    "clip": "0.0",
    "average": "0.0",
    "bfloat16": "False",
    "skip_budget": "0",
    "compile": "False",
    "channels_last": "False",
    "recompute": "False",
    "fused_adam": "False",
    "validation": "None",
}
"""The settings in a checkpoint of the training below."""


@pytest.mark.parametrize("profile", list(DIGESTS))
@pytest.mark.parametrize("name", ["derain", "deblur", "denoise", "cs", "ablate"])
def test_the_settings_digest_of_a_network_file_is_unchanged(profile, name):
    params = load_params(ROOT / "params.yaml")
    active = getattr(params, profile)
    settings = active.ablate if name == "ablate" else active.train[name]
    digest = settings_digest(settings, active.runtime, params.seed)
    assert digest == DIGESTS[profile][name]


def test_the_identity_of_a_checkpoint_is_unchanged(small):
    """Names and values are those of earlier versions, so that their checkpoints can be resumed."""
    made = prepared(small)
    expected = {f"train.{name}": text for name, text in TEXTS.items()}
    expected |= {f"network.{name}": str(v) for name, v in made.inputs.network.to_dict().items()}
    expected |= {"seed": "1234", "threads": "1", "device": "cpu", "start": ""}
    expected |= {"kernels": "portable"}
    digest = made.pairs.manifest.digest
    expected |= {"data.set": "Rain13K", "data.digest": digest, "data.validation": ""}
    assert made.checkpoints.identity == expected
