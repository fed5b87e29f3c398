"""Texts are UTF-8 in any locale: real locales, and no file access without an encoding."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMENT = "# Bilder für Köln, 图像, Привет\n"
LOCALES = ("zh_CN.GB18030", "de_DE.ISO-8859-1", "ja_JP.EUC-JP")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A function that compiles a locale from the system's sources and returns their folder."""
    tool, folder = shutil.which("localedef"), tmp_path_factory.mktemp("locales")

    def compile_locale(name):
        language, _, charmap = name.partition(".")
        command = [tool, "-i", language, "-f", charmap, str(folder / name)]
        if tool is None or subprocess.run(command, capture_output=True, check=False).returncode > 1:
            pytest.skip(f"localedef or the sources of {name} are not installed")
        return folder

    return compile_locale


@pytest.fixture
def home(tmp_path, sample_root):
    """A project whose parameter file has a non-ASCII comment."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(COMMENT + text, encoding="utf-8")
    (tmp_path / "records").mkdir()
    shutil.copytree(sample_root / "test" / "Set11", tmp_path / "data/sample/test/Set11")
    return tmp_path


@pytest.mark.parametrize("name", LOCALES)
def test_the_commands_work_under_a_real_locale(name, compiled, home):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG"))}
    env |= {"LOCPATH": str(compiled(name)), "LC_ALL": name, "PYTHONUTF8": "0"}
    env |= {"DGUNET_TRACKING": "later", "DGUNET_CACHE": str(home / "cache")}
    code = "import locale; print(locale.getpreferredencoding(False))"
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert found.stdout.strip().lower().replace(b"-", b"") not in (b"utf8", b"ascii")
    dgunet = Path(sys.executable).with_name("dgunet")
    more = (
        ("report",),
        ("tracking", "status"),
        ("explain", "1", "DGUNet (sample, not comparable)", "Rain100L PSNR"),
    )
    for arguments in (
        ("data", "prepare", "Set11"),
        ("tables",),
        *more[: 3 * (name in LOCALES[:1])],
    ):
        done = subprocess.run(
            [dgunet, *arguments], cwd=home, env=env, capture_output=True, check=False
        )
        assert done.returncode == 0, (arguments, done.stderr)
    table = (home / "build/tables/table1.md").read_text(encoding="utf-8")
    assert "PSNR" in table


@pytest.mark.parametrize("name", LOCALES[:1])
def test_an_error_with_characters_missing_from_the_locale_is_one_line(name, compiled, home):
    env = os.environ | {"LOCPATH": str(compiled(name)), "LC_ALL": name, "PYTHONUTF8": "0"}
    done = subprocess.run(
        [
            Path(sys.executable).with_name("dgunet"),
            "train",
            "ü\udcff".encode(errors="surrogateescape"),
        ],
        cwd=home,
        env=env,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"unknown task" in done.stderr


def without_encoding(tree):
    """Yield the lines of calls that use the encoding of the locale."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = {keyword.arg for keyword in node.keywords}
        if "encoding" in named:
            continue
        if (
            named & {"text", "universal_newlines"}
            and "Popen run check_output".find(getattr(node.func, "attr", "?")) >= 0
        ):
            yield node.lineno
        if not isinstance(node.func, ast.Attribute):
            continue
        owner, name = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id in ("files", "reading", "os", "Image"):
            continue
        if name in ("read_text", "write_text"):
            yield node.lineno
        mode = node.args[0] if node.args else ast.Constant("r")
        if (
            name == "open"
            and isinstance(mode, ast.Constant)
            and set(str(mode.value)) <= set("rwax+")
            and not isinstance(owner, ast.Call)
        ):
            yield node.lineno


@pytest.mark.parametrize("folder", ["dgunet", "pipelines", "components", "docs", "benchmarks"])
def test_every_text_file_access_names_its_encoding(folder):
    """The rule of ruff covers only values it recognises as paths."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    ["p.read_text()", "p.open()", "p.open('w')", "p.write_text(x)", "subprocess.run(c, text=True)"],
)
def test_a_call_without_encoding_is_detected(code):
    assert list(without_encoding(ast.parse(code))) == [1]
