"""Run the notebooks on the results of `make reproduce` and write them to docs/notebooks.

Each notebook becomes a Markdown page with its outputs that can be read without Jupyter; the
notebooks themselves are not changed.

Usage: python docs/render_notebooks.py [NAME ...]
"""

import argparse
import base64
import re
import shutil
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "notebooks"
LONGEST_COMMAND_OUTPUT = 4000


def main() -> None:
    """Render all notebooks, or those named on the command line."""
    known = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(known)}")
    for name in parser.parse_args().names or known:
        start = time.monotonic()
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
        page = render(name, notebook.cells)
        print(f"{page.relative_to(ROOT)} ({time.monotonic() - start:.0f} s)")


def render(name: str, cells: list) -> Path:
    """Write the page of an executed notebook and its images; return the path of the page."""
    images = PAGES / name
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    origin = f"<!-- Made by docs/render_notebooks.py from notebooks/{name}.ipynb. -->"
    parts = [origin]
    for cell in cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        else:
            parts.append(f"```python\n{cell.source}\n```")
            parts += [shown for output in cell.outputs if (shown := show(output, images))]
    if not any(images.iterdir()):
        images.rmdir()
    page = PAGES / f"{name}.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def show(output: dict, images: Path) -> str:
    """Return an output as Markdown: an image, a table, or text."""
    if output["output_type"] == "stream":
        return _text(output["text"]) if output["name"] == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        path = images / f"{len(list(images.iterdir())) + 1}.png"
        path.write_bytes(base64.b64decode(data["image/png"]))
        return f"![output]({images.name}/{path.name})"
    if "text/html" in data and "<table" in data["text/html"]:
        return _table(data["text/html"])
    return _text(data.get("text/plain", ""))


def _table(html: str) -> str:
    """Return the table without style sheets, which Markdown pages do not support."""
    found = re.search(r"<table.*?</table>", html, re.DOTALL)
    return re.sub(r"\n\s*", "", found[0]).replace("</tr>", "</tr>\n") if found else ""


def _text(text: str) -> str:
    clean = text.replace(str(ROOT), ".").rstrip()[:LONGEST_COMMAND_OUTPUT]
    clean = re.sub(r"(<matplotlib|<PIL)[^>]*>", "", clean).rstrip()
    return f"```text\n{clean}\n```" if clean else ""


if __name__ == "__main__":
    main()
