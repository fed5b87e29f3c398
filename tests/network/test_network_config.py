"""The config, its presets, and the errata that list the differences of the architectures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgunet.network import DGUNetConfig, preset
from dgunet.network.errata import ERRATA, errata_markdown
from dgunet.network.structure import RATIOS
from dgunet.system.errors import ConfigError
from dgunet.terms import TASKS, VARIANTS


@settings(max_examples=20, deadline=None)
@given(
    task=st.sampled_from(TASKS),
    variant=st.sampled_from(VARIANTS),
    architecture=st.sampled_from(["released", "paper"]),
    ratio=st.sampled_from(RATIOS),
)
def test_a_config_is_unchanged_by_json(
    task: str, variant: str, architecture: str, ratio: int
) -> None:
    ratios = {"ratio": ratio} if task == "cs" else {}
    config = preset(task, variant, architecture=architecture, **ratios)
    assert config.variant == variant
    assert DGUNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_from_dict_is_strict() -> None:
    values = preset("derain").to_dict()
    with pytest.raises(ConfigError, match="no field depth"):
        DGUNetConfig.from_dict(values | {"depth": 5})
    values.pop("stages")
    with pytest.raises(ConfigError, match="lacks stages"):
        DGUNetConfig.from_dict(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": 1}, "stages=1"),
        ({"stages": True}, "stages=True"),
        ({"stages": 7.0}, "stages=7.0"),
        ({"n_feat": 10}, "n_feat=10"),
        ({"scale": 5}, "scale=5"),
        ({"fusion_scales": 4}, "fusion_scales=4"),
        ({"fusion": "sum"}, "fusion='sum'"),
        ({"fusion_kernel": 5}, "fusion_kernel=5"),
        ({"gradient": 1}, "gradient=1"),
        ({"gradient_width": 0}, "gradient_width=0"),
        ({"width": 8}, "no field width"),
        ({"ratio": 10}, "ratio=10"),
    ],
)
def test_invalid_values_are_reported(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        preset("derain", **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": 12}, "block=12"),
        ({"block": 8}, "block=8"),
        ({"channels": 3}, "channels=3"),
        ({"operator": "learned"}, "ratio=10"),
    ],
)
def test_inconsistent_sampling_settings_are_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        preset("cs", ratio=10, **change)
    assert preset("cs", ratio=10, block=8, encoder_norm="none").measurements == 7


def test_presets_refuse_unknown_names() -> None:
    with pytest.raises(ConfigError, match="'dehaze' is unknown"):
        preset("dehaze")
    with pytest.raises(ConfigError, match="'DGUNet_plus' is unknown"):
        preset("derain", "DGUNet_plus")
    with pytest.raises(ConfigError, match="'mine' is unknown"):
        preset("derain", architecture="mine")
    with pytest.raises(ConfigError, match="needs a ratio"):
        preset("cs")
    with pytest.raises(ConfigError, match="ratio=20"):
        preset("cs", ratio=20)


def test_measurement_counts_are_as_published() -> None:
    counts = [preset("cs", ratio=ratio).measurements for ratio in RATIOS]
    assert counts == [11, 41, 103, 256, 308, 410, 512]


def test_the_errata_list_exactly_the_fields_in_which_the_architectures_differ() -> None:
    differing = set()
    for task in TASKS:
        for variant in VARIANTS:
            ratio = 10 if task == "cs" else None
            paper, released = (
                preset(task, variant, architecture=a, ratio=ratio).to_dict()
                for a in ("paper", "released")
            )
            differing |= {name for name in paper if paper[name] != released[name]}
    named = [row.field for row in ERRATA if row.field]
    assert len(named) == len(set(named))
    assert set(named) == differing
    assert set(named) <= {field.name for field in dataclasses.fields(DGUNetConfig)}


def test_errata_without_a_field_state_how_they_are_settled() -> None:
    for row in ERRATA:
        assert bool(row.field) != bool(row.settled), row.topic
        assert row.paper and row.code and row.evidence, row.topic


def test_the_errata_page_is_current(project: Path) -> None:
    assert (project / "docs/errata.md").read_text() == errata_markdown()
