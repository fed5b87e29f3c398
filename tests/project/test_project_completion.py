"""The shell offers the names of tasks, variants, test sets, ablations and profiles."""

import pytest
from help_examples import leaves_of_app

from dgunet.terms import ABLATIONS


@pytest.fixture
def offered(dgunet, monkeypatch):
    """What bash is told when TAB is pressed after a line."""

    def ask(line):
        monkeypatch.setenv("_DGUNET_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        return dgunet().stdout.split()

    return ask


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("dgunet train de", ["derain", "deblur", "denoise"]),
        ("dgunet train cs --ratio ", ["1", "4", "10", "25", "50"]),
        ("dgunet restore a.png --variant ", ["DGUNet", "DGUNet+"]),
        ("dgunet evaluate --sets Rain100", ["Rain100H", "Rain100L"]),
        ("dgunet evaluate --sets Rain100L,Rain100", ["Rain100L,Rain100H"]),
        (
            "dgunet evaluate --ablation stages",
            [name for name in ABLATIONS if name.startswith("stages")],
        ),
        ("dgunet models promote derain --profile ", ["paper", "reduced", "sample"]),
        ("dgunet data info GoPro", ["GoPro", "GoPro-train"]),
        ("dgunet score a b --protocol rain", ["rain-y"]),
        ("dgunet campaign table", [f"table{number}" for number in range(1, 7)]),
        ("dgunet check", ["checkpoint"]),
    ],
)
def test_the_shell_is_offered_names(offered, line, values):
    assert sorted(offered(line)) == sorted(values)


def test_every_option_of_a_known_kind_completes():
    """An option or argument of one of these names is completed wherever it occurs."""
    kinds = {
        "task",
        "ablation",
        "variant",
        "ratio",
        "profile",
        "sets",
        "rows",
        "protocol",
        "gpu",
        "names",
    }
    left = []
    for name, each in leaves_of_app():
        for parameter in each.params:
            if parameter.name in kinds and not parameter.shell_complete(None, ""):
                left.append(f"{name} {parameter.name}")
    assert left == []
