"""Commands that the README and the documentation print exist, with their options and values.

`tests/reproduce` runs those of the README in a reproduced clone; the worked examples of
CONTRIBUTING.md are followed by `test_project_contributing.py`.
"""

import re
import shlex
from pathlib import Path

import pytest
import typer
from help_examples import parse, without_setting

from dgunet.cli import command

ROOT = Path(__file__).parents[2]
APP = typer.main.get_command(command())
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "deploy/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(text):
    """The lines of the shell blocks of a page: fenced as sh, or indented after an empty line."""
    yield from re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    unfenced = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"(?:^|\n)\n((?: {4}\S[^\n]*\n)+)", unfenced)


def printed(page):
    """The words of every ``dgunet ...`` in the shell blocks of a page."""
    for block in blocks(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            try:
                words = shlex.split(line.strip().removeprefix("$ "), comments=True)
            except ValueError:  # a text in another language
                continue
            yield from commands(words)


def commands(words):
    """The commands of a line that begin with ``dgunet``, less redirections and variables."""
    one = []
    for word in [*words, ";"]:
        if word not in ("|", ";", "&&", "||", "&", ">", ">>", "<"):
            one.append(word)
            continue
        one = without_setting(one)
        if one[:1] == ["dgunet"]:
            yield one
        one = []


PRINTED = {page.relative_to(ROOT).as_posix(): list(printed(page)) for page in PAGES}


def test_the_commands_of_the_pages_are_found():
    assert sum(map(len, PRINTED.values())) > 50
    assert ["dgunet", "campaign", "table1", "--plan"] in PRINTED["README.md"]


@pytest.mark.parametrize("page", [page for page, found in PRINTED.items() if found])
def test_the_commands_of_a_page_are_parsed(page):
    for words in PRINTED[page]:
        parse(words)


def mentioned(page):
    """The words of every ``dgunet ...`` within a line of text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for code in re.findall(r"`((?:[A-Z_]+=\S+ )?dgunet [^`]+)`", text):
        yield without_setting(code.replace("\n", " ").split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_that_a_text_mentions_exist(page):
    """They may lack arguments, but their names and options must be known."""
    for words in mentioned(page):
        each = APP
        for word in words[1:]:
            if hasattr(each, "commands") and re.fullmatch(r"[a-z]+", word):
                assert word in each.commands, words
                each = each.commands[word]
        known = {option for one in (APP, each) for p in one.params for option in p.opts}
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert given <= known | {"--help"}, words
