"""Hooks of the documentation site: pages that are generated during its build (see mkdocs.yml).

The command line's reference is the text of every ``--help``; the page on several nodes is
``deploy/README.md``, which is outside ``docs`` because it belongs to the manifests next to it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DEPLOY = "several-nodes.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the files of the site."""
    files.append(File.generated(config, "cli.md", content=command_line_page()))
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\(\.\./docs/", "](", text)
    files.append(File.generated(config, DEPLOY, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to ``deploy/README.md`` at the page of the site that shows it."""
    return markdown.replace("](../deploy/README.md", f"]({DEPLOY}")


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Remove the roles, such as ``:func:``, that docstrings put before a name."""
    return re.sub(r":(?:class|data|func|meth|mod):(?=<code>)", "", html)


def command_line_page() -> str:
    """The Markdown page with the help text of every command of ``dgunet``."""
    from dgunet.cli import command

    app = command()
    app.rich_markup_mode = None  # plain text instead of boxes drawn for a terminal
    parts = ["# Command line", "The output of `--help` for every command."]
    for name, text in help_texts(typer.main.get_command(app), "dgunet"):
        parts += [f"## {name}", f"```text\n{text.rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def help_texts(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Yield the full name and the help text of ``command`` and of every command below it."""
    context = command.make_context(
        name, [], parent=parent, resilient_parsing=True, max_content_width=100, terminal_width=100
    )
    yield context.command_path, command.get_help(context)
    for child in getattr(command, "commands", {}).values():
        yield from help_texts(child, child.name, context)
