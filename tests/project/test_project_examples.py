"""Every example in a help text is a valid command, and is run unless a reason is given."""

import shlex
import shutil

import numpy as np
import pytest
from help_examples import (
    NEEDS_A_PROJECT,
    NOT_RUN,
    examples,
    leaves_of_app,
    parse,
    reason_not_run,
    without_setting,
)
from PIL import Image
from printed_commands import PRINTED

from dgunet.network import DGUNet, preset, save_network
from dgunet.network.official import export_official

EXAMPLES = [words for words, _ in examples()]
RUN = [words for words in EXAMPLES if reason_not_run(words) is None]


def label(words):
    return "-".join(words[1:5]).replace("/", "_")[:50]


def test_every_command_has_an_example_of_its_own():
    named = {name for _, name in examples()}
    assert {name for name, _ in leaves_of_app()} <= named


@pytest.mark.parametrize("words", EXAMPLES, ids=label)
def test_an_example_is_parsed(words):
    """Its command exists, its options are known, and its values are of their types."""
    words = without_setting(words)
    assert parse(words[words.index("dgunet") :]) or "--debug" in words


def test_the_lists_name_existing_examples():
    texts = {shlex.join(words) for words in EXAMPLES}
    assert texts >= NEEDS_A_PROJECT
    printed = [words for found in PRINTED.values() for words in found]
    reasons = {reason_not_run(words) for words in [*EXAMPLES, *printed]}
    assert reasons >= set(NOT_RUN.values())


@pytest.fixture(scope="module")
def place(tmp_path_factory, project, sample_root):
    """A project with sample images, photographs and networks of the names in the examples."""
    home = tmp_path_factory.mktemp("place")
    shutil.copy(project / "params.yaml", home)
    shutil.copytree(sample_root, home / "data" / "sample")
    (home / "docs").mkdir()
    rng = np.random.default_rng(0)
    names = ("photo.jpg", "photo.png", "rainy.png", "holiday/1.png", "scans/2.png")
    for name in (*names, "results/Rain100L/1.png", "Rain100L/target/1.png"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(home / name)
    derain = DGUNet(preset("derain"))
    own = home / "build" / "models" / "trained" / "derain-DGUNet" / "network.safetensors"
    own.parent.mkdir(parents=True)
    for path in (home / "derain.safetensors", home / "mine.safetensors", own):
        save_network(derain, path)
    save_network(DGUNet(preset("cs", ratio=10)), home / "cs-r10.safetensors")
    (home / "pretrained_models").mkdir()
    export_official(derain, home / "pretrained_models" / "DGUNet.pth")
    return home


@pytest.mark.parametrize("words", RUN, ids=label)
def test_an_example_runs(dgunet, place, monkeypatch, words):
    monkeypatch.chdir(place)
    monkeypatch.setenv("DGUNET_TRACKING", "off")
    monkeypatch.delenv("DGUNET_HOME", raising=False)
    arguments = words[1:]
    if arguments[0] == "reconstruct":
        dgunet("measure", "photo.png", "--checkpoint", "cs-r10.safetensors", "--out", "photo.npy")
    if arguments[:2] == ["data", "sample"]:  # it refuses a folder that exists
        shutil.move(place / "data" / "sample", place / "data" / "sample-of-the-test")
    if arguments[:2] == ["checkpoint", "import"]:
        (place / "derain.safetensors").unlink()
    if "restore" in arguments:
        shutil.rmtree(place / "restored", ignore_errors=True)
    done = dgunet(*arguments)
    assert done.returncode == 0, done.stderr
