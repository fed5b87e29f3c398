"""Settings are read exactly as written or refused, in one line and bounded time and memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dgunet.config import load_params, parse_params
from dgunet.network.devices import DEVICES, pick_device
from dgunet.system.errors import ConfigError
from dgunet.system.reading import parse_yaml, read_text, shorten

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
NEXT = "\n      "
"""Separates two settings of a training."""

TRAIN = "sample.train.derain"


def refusal(text):
    with pytest.raises(ConfigError) as refused:
        parse_params(text, "params.yaml")
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    return message


def changed(old, new):
    assert old in TEXT
    return TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    "value",
    [
        *("true", "yes", "1.0", "1e3", "0123", "0x10", "12:34", "1_000", "'5'", "~", "[1]", "-1"),
        *(".nan", ".inf", str(2**32), "9" * 400),
    ],
)
def test_a_seed_must_be_a_plain_whole_number(value):
    message = refusal(changed("seed: 1234", f"seed: {value}"))
    assert "seed is " in message
    assert "allowed: a whole number from 0 to 4,294,967,295" in message


@pytest.mark.parametrize("value", ["yes", "true", "1.0", "'60'", "0", "-5", "100000001", "1e9"])
def test_iterations_must_be_a_plain_whole_number(value):
    message = refusal(changed("iterations: 60", f"iterations: {value}"))
    assert f"{TRAIN}.iterations is " in message
    assert "allowed: a whole number from 1 to 100,000,000" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("batch: 2", "batch: 1000000000", f"{TRAIN}.batch is 1000000000, allowed: a whole number"),
        ("patch: 32", "patch: 8000000", f"{TRAIN}.patch is 8000000, allowed: a multiple of 8 from"),
        (
            f"batch: 2{NEXT}patch: 32",
            f"batch: 65536{NEXT}patch: 4096",
            "1,099,511,627,776 pixels per step",
        ),
        ("threads: 1 ", "threads: 1000000000 ", "threads is 1000000000, allowed: a whole number"),
        ("n_feat: 8", "n_feat: 1000000", "sample.network.n_feat is 1000000, allowed: a whole"),
        ("n_feat: 8", "stages: 10000000", "sample.network.stages is 10000000, allowed: a whole"),
        (
            "n_feat: 8",
            "n_feat: 4096\n    stages: 64",
            "make a network of 12,106,182,028 parameters",
        ),
        ("n_feat: 8", "n_feat: true", "sample.network.n_feat is True"),
        ("n_feat: 8", "n_feat: 8.0", "sample.network.n_feat is 8.0"),
        ("n_feat: 8", "n_feta: 8", "sample.network.n_feta is not a field (did you mean n_feat?)"),
        ("n_feat: 8", "ratio: 10", "sample.network.ratio follows from the task"),
        (
            "n_feat: 8",
            "gradient: 'yes'",
            "sample.network.gradient is 'yes', allowed: true or false",
        ),
        ("scale: 4", "scale: 3", "sample.network does not fit derain DGUNet: scale=3 is odd"),
        ("warmup: 5", "warmup: true", f"{TRAIN}.warmup is True"),
        (
            "warmup: 5",
            f"warmup: 5{NEXT}clip: .inf",
            f"{TRAIN}.clip is inf, allowed: a number from 0",
        ),
        ("warmup: 5", f"warmup: 5{NEXT}clip: true", f"{TRAIN}.clip is True"),
        (
            "warmup: 5",
            f"warmup: 5{NEXT}bfloat16: 1",
            f"{TRAIN}.bfloat16 is 1, allowed: true or false",
        ),
        ("warmup: 5", f"warmup: 5{NEXT}crops: 1000000000", f"{TRAIN}.crops is 1000000000"),
        ("warmup: 5", f"warmup: 0{NEXT}halve_at: [true]", f"{TRAIN}.halve_at.0 is True"),
        ("learning_rate: 3.0e-3", "learning_rate: .nan", f"{TRAIN}.learning_rate is nan"),
        ("learning_rate: 3.0e-3", "learning_rate: '1'", f"{TRAIN}.learning_rate is '1'"),
        ("fraction: 0.1", "fraction: true", "validation.fraction is True, allowed: a number from"),
        ("device: cpu", "device: cude", "device is 'cude', allowed: 'auto', 'cpu' or 'cuda'"),
        ("- DGUNet\n", "- DGUNet\n- DGUNet\n", "allowed: each variant once"),
        ("seed: 1234", "seed: 1234\nseed: 5", "the key 'seed' occurs twice"),
        ("batch: 2", f"batch: 2{NEXT}batch: 4", "the key 'batch' occurs twice"),
        ("seed: 1234", "seed: !!timestamp x", "is not YAML"),
        ("seed: 1234", "seed: !!int ''", "is not YAML"),
        ("seed: 1234", "seed: !!python/object/apply:os.getpid []", "is not YAML"),
    ],
)
def test_a_wrong_value_is_reported_with_its_range(old, new, expected):
    assert expected in refusal(changed(old, new))


@pytest.mark.parametrize(
    "name", ["../x", "/etc", "a/b", "", ".", "..", "Rain100L/..", "C:\\x", "Rain100L\\0", "~"]
)
def test_a_dataset_name_is_never_used_as_a_path(name):
    quoted = '"' + name.replace("\\", "\\\\") + '"'
    chosen = refusal(changed("fraction: 0.1", f"test_set: {quoted}"))
    assert f"{TRAIN}.validation.test_set is " in chosen
    further = refusal(changed("warmup: 5", f"warmup: 5{NEXT}beside: [{quoted}]"))
    assert f"{TRAIN}.beside.0 is " in further


def test_a_dataset_must_be_in_the_catalogue_with_the_right_role():
    assert "did you mean Rain100L?" in refusal(changed("fraction: 0.1", "test_set: Rain100l"))
    assert "is not a test set" in refusal(changed("fraction: 0.1", "test_set: Rain13K"))
    assert "is not a training set" in refusal(
        changed("warmup: 5", f"warmup: 5{NEXT}beside: [Rain100L]")
    )
    taken = parse_params(changed("fraction: 0.1", "test_set: Rain100L"))
    assert taken.sample.train["derain"].validation.test_set == "Rain100L"
    assert parse_params(changed("warmup: 5", f"warmup: 5{NEXT}beside: [DIV2K]"))


def test_reasonable_settings_are_accepted():
    text = changed("n_feat: 8", "n_feat: 96\n    gradient: false\n    fusion: addition")
    text = text.replace(f"batch: 2{NEXT}patch: 32", f"batch: 256{NEXT}patch: 512", 1)
    text = text.replace("seed: 1234", "seed: 4294967295").replace("threads: 1 ", "threads: 128 ")
    params = parse_params(text.replace("learning_rate: 3.0e-3", "learning_rate: 1"))
    assert params.sample.network["gradient"] is False
    assert params.sample.train["derain"].learning_rate == 1


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(TEXT.encode() + b"# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"params\.yaml, line \d+: byte 0xe9 is not UTF-8"):
        load_params(path)
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode() + "# café\n".encode())
    assert load_params(path).seed == 1234
    path.write_bytes(TEXT.encode() + b"#" * 300_000)
    with pytest.raises(ConfigError, match="is larger than"):
        load_params(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_params(path)
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_params(tmp_path)


BILLION = "\n".join(
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]",
        *(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "seed: *i",
    ]
)
DEEP_ALIASES = "\n".join(
    ["k0: &k0 [1]", *(f"k{i}: &k{i} [*k{i - 1}]" for i in range(1, 3000)), "seed: *k2999"]
)
ONE_TEXT_OFTEN = f"t: &t {'x' * 100_000}\nseed: [{', '.join(['*t'] * 20_000)}]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: " + "[" * 10_000, "nested too deeply"),
        ("seed: " + "{a: " * 10_000, "nested too deeply"),
        (BILLION, "expand to more than"),
        (DEEP_ALIASES, "nested too deeply"),
        ("seed: &a [*a]", "contains it"),
        ("? &a [*a]\n: 1", "contains it"),
        ("- 1", "not a mapping"),
        ("", "not a mapping"),
        ("a: 1\n---\nb: 2", "is not YAML"),
    ],
)
def test_yaml_that_expands_or_nests_too_far_is_refused(text, expected):
    assert expected in refusal(text)


def test_a_text_repeated_by_aliases_is_not_copied_into_the_error():
    """Expanded aliases would make two gigabytes of text from a file of 200 kB."""
    message = refusal(ONE_TEXT_OFTEN)
    assert "seed is [" in message
    assert len(shorten([["x" * 10**6] * 10**5] * 10**5)) == 80


def test_yaml_is_read_as_version_1_2():
    text = "[yes, no, on, 0123, 0x1F, 12:34:56, 1_000, 2001-01-01, true, 3, -4, 1e-4, .5, 3., ~]"
    assert parse_yaml(text, "x") == [
        *("yes", "no", "on", "0123", "0x1F", "12:34:56", "1_000", "2001-01-01"),
        *(True, 3, -4, 1e-4, 0.5, 3.0, None),
    ]


def test_a_folder_is_refused_as_a_file(tmp_path):
    with pytest.raises(ConfigError, match="is not a regular file"):
        read_text(tmp_path, kind=ConfigError)


@pytest.mark.parametrize("name", ["cude", "", "CPU", "cuda:0", "mps", "cpu ", "x" * 500])
def test_a_misspelt_device_is_refused_with_the_choices(name):
    with pytest.raises(ConfigError) as refused:
        pick_device(name)
    assert all(device in str(refused.value) for device in DEVICES)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("selftest", "metrics", "--device", "cude"), "'cude' is unknown. Use one of auto, cpu"),
        (("evaluate", "--memory", "lots"), "--memory 'lots' is not a size. Give one such as 8GiB."),
        (("checkpoint", "info", "/dev/zero"), "/dev/zero is not a regular file"),
        (("checkpoint", "info", "."), ". is not a regular file"),
        (("pipeline", "status", "local-../../x"), "no local run local-../../x"),
    ],
)
def test_the_command_line_refuses_bad_input_in_one_line(dgunet, monkeypatch, arguments, expected):
    monkeypatch.setenv("DGUNET_HOME", str(ROOT))
    done = dgunet(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "--processes", "1000000000"),
        ("describe", "derain", "--height", "1000000000"),
        ("recipe", "released", "derain", "--tflops", "nan"),
        ("recipe", "released", "derain", "--gpus", "0"),
        ("tracking", "ui", "--port", "99999"),
        ("tracking", "doctor", "--silent-hours", "nan"),
        ("tracking", "doctor", "--silent-hours", "-1"),
        ("explain", "99", "DGUNet", "x"),
        ("pipeline", "status", "x", "--timeout", "1000000000"),
    ],
)
def test_absurd_numbers_of_options_are_refused(dgunet, arguments):
    done = dgunet(*arguments)
    assert done.returncode == 2
    assert "Input should be" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "DGUNET_TRACKING",
            "none",
            "DGUNET_TRACKING='none' is not a tracking mode. Use one of now, later, share, off.",
        ),
        (
            "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL",
            "often",
            "='often' is not a valid interval. Give seconds",
        ),
        (
            "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL",
            "nan",
            "='nan' is not a valid interval. Give seconds",
        ),
        (
            "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL",
            "0",
            "='0' is not a valid interval. Give seconds",
        ),
    ],
)
def test_invalid_environment_variables_are_refused(
    tmp_path, monkeypatch, variable, value, expected
):
    from dgunet.tracking import start_run

    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("DGUNET_TRACKING", "later")
    monkeypatch.setenv(variable, value)
    with (
        pytest.raises(ConfigError) as refused,
        start_run("e", "n", tags={"profile": "sample", "stage": "x"}, params={}, home=tmp_path),
    ):
        pass
    assert expected in str(refused.value)


@pytest.mark.parametrize("value", ["two", "-1", "1e3", "²"])
def test_invalid_torchrun_variables_are_refused(monkeypatch, value):
    from dgunet.training import LaunchedProcess

    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(ConfigError, match=r"WORLD_SIZE=.* is not a whole number"):
        LaunchedProcess.from_variables(os.environ)


def test_settings_are_checked_without_torch(tmp_path):
    """`dgunet data prepare` reads the settings without torch."""
    code = (
        "import sys; from pathlib import Path; from dgunet.config import load_params\n"
        f"load_params(Path({str(ROOT / 'params.yaml')!r})); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
