"""``dgunet selftest metrics``: its constants against the slow references, and its results."""

import json
from dataclasses import replace

import pytest
from evaluation_references import protocol_scores

from dgunet.evaluation import selftest
from dgunet.evaluation.protocols import PROTOCOLS, protocol
from dgunet.system.errors import EvaluationError


@pytest.mark.parametrize("name", sorted(n for n, each in PROTOCOLS.items() if each.scores_locally))
def test_the_constants_agree_with_the_slow_references(name, project):
    text = (project / "dgunet" / "evaluation" / "selftest.json").read_text()
    constants = json.loads(text)[name]
    expected = protocol_scores(name, *selftest.formula_pair(protocol(name)))
    # The last digits of an alignment depend on the machine: 3e-6 even with the same OpenCV.
    close = selftest.ALIGNED_TOLERANCE if name == "realblur-aligned" else 1e-11
    assert (constants["psnr"], constants["ssim"]) == pytest.approx(expected, rel=0, abs=close)


def test_every_metric_of_every_local_protocol_passes():
    checks = list(selftest.check_metrics())
    expected = []
    for name, each in PROTOCOLS.items():
        ways = ["array", "cpu"] if each.window else ["array"] if each.scores_locally else []
        expected += [(name, where, metric) for where in ways for metric in ("psnr", "ssim")]
    assert [(c.protocol, c.where, c.metric) for c in checks] == expected
    for check in checks:
        assert check.ok, check


def test_a_shifted_or_missing_value_fails():
    assert not selftest.MetricCheck("rain-y", "array", "psnr", 30.1, 30.0, 1e-6).ok
    assert not selftest.MetricCheck("rain-y", "array", "psnr", float("nan"), 30.0, 1e-6).ok


def test_a_new_protocol_version_needs_new_constants(monkeypatch):
    changed = replace(protocol("cs-y"), version=protocol("cs-y").version + 1)
    monkeypatch.setitem(PROTOCOLS, "cs-y", changed)
    with pytest.raises(EvaluationError, match="cs-y is version 2; its constants are for version 1"):
        list(selftest.check_metrics())
