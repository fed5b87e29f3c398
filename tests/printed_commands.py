"""The commands that the README and the documentation print."""

import re
import shlex
from pathlib import Path

from help_examples import reason_not_run, without_setting

ROOT = Path(__file__).parents[1]
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

FOR_A_PROJECT = sorted(
    {
        shlex.join(words)
        for page, found in PRINTED.items()
        if page.startswith("docs/")
        for words in found
        if reason_not_run(words) in (None, "tests/reproduce runs it")
    }
)
"""The commands of the documentation that tests/reproduce runs in a reproduced clone."""
