"""Commands that the README and the documentation print exist, with their options and values.

`tests/reproduce` runs those of README and docs in a reproduced clone, but for those with a reason
in `help_examples.NOT_RUN`; `test_project_contributing.py` follows the worked examples.
"""

import re

import pytest
import typer
from help_examples import parse, without_setting
from printed_commands import PAGES, PRINTED, ROOT

from dgunet.cli import command

APP = typer.main.get_command(command())


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
