"""The constants of ``dgunet selftest metrics`` against the slow references, and its verdicts."""

import json

import pytest
from evaluation_references import protocol_scores

from dgunet.evaluation import selftest
from dgunet.evaluation.protocols import PROTOCOLS, protocol


@pytest.mark.parametrize("name", ["rain-y", "gopro-rgb", "sidd-blocks", "cs-y"])
def test_the_constants_are_those_of_the_slow_references(name, project):
    text = (project / "dgunet" / "evaluation" / "selftest.json").read_text()
    constants = json.loads(text)[name]
    expected = protocol_scores(name, *selftest.formula_pair(protocol(name)))
    assert (constants["psnr"], constants["ssim"]) == pytest.approx(expected, rel=0, abs=1e-11)


def test_every_metric_of_every_local_protocol_passes():
    checks = list(selftest.check_metrics())
    local = [name for name, each in PROTOCOLS.items() if each.scores_locally]
    assert [(c.protocol, c.metric) for c in checks] == [
        (name, metric) for name in local for metric in ("psnr", "ssim")
    ]
    for check in checks:
        assert check.ok, check


def test_a_shifted_or_missing_value_fails():
    assert not selftest.Check("rain-y", "psnr", 30.1, 30.0, 1e-6).ok
    assert not selftest.Check("rain-y", "psnr", float("nan"), 30.0, 1e-6).ok
