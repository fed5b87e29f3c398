"""Digests and identities in files of earlier versions do not change."""

import pytest
from training_small import ROOT

from dgunet.config import load_params
from dgunet.network import preset
from dgunet.training import LaunchedProcess
from dgunet.training.preparation import TrainingInputs, prepare_training, settings_digest

DIGESTS = {
    "sample": {
        "derain": "378fbd3ffec02691dbc38d731f20a58cc8be3fed5a4e06d0293c216cb3b62854",
        "deblur": "5a43a70b2144bea551ab2188a162de27db317a949c8ca3933813e2d813fc92e9",
        "denoise": "6b3b4b28e83d76315c4c233e9d88165a68fc6bede38dd7516ee2452ee9727c9d",
        "cs": "fec2610b461115523dc21f046cd7eb3c10f06b82599bc2dfa34b872e6cb65416",
        "ablate": "e2f1c08ea786b7ef72c48880b9441295fa4423b64a75a3af5d26453e24b58fe6",
    },
    "paper": {
        "derain": "6407921789e48cf6393ab3565358462dad0b2e2dcead3a70e353086c9cf48902",
        "deblur": "0928a28ccac884df79f1fbc35742f5311bda544743ff723f06c524fc107d137d",
        "denoise": "31e9a3287900ac663daedfa79a441952d1a62c8520b6b99f6f1ccad34b383c2c",
        "cs": "f8e9d2011c20c94b524ab215f789a70f289472e434c82b9b46dd22b9e164277b",
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
    params = load_params(small.home / "params.yaml")
    inputs = TrainingInputs(
        profile="sample",
        key="derain-DGUNet",
        settings=params.training("derain"),
        runtime=params.active.runtime,
        seed=params.seed,
        network=preset("derain", **params.active.network),
        store=small.home / "store",
        out=small.home / "out",
        start=None,
        checkpoint_root=small.home / "checkpoints",
        mirror=None,
        process=LaunchedProcess(),
        commit="unknown",
    )
    prepared = prepare_training(inputs)
    expected = {f"train.{name}": text for name, text in TEXTS.items()}
    expected |= {f"network.{name}": str(v) for name, v in inputs.network.to_dict().items()}
    expected |= {"seed": "1234", "threads": "1", "device": "cpu", "start": ""}
    digest = prepared.pairs.manifest.digest
    expected |= {"data.set": "Rain13K", "data.digest": digest, "data.validation": ""}
    assert prepared.checkpoints.identity == expected
