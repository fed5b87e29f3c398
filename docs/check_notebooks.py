"""Check that notebooks are committed without outputs; `make pages` renders them to docs/notebooks.

python docs/check_notebooks.py FILE...   exit status 1 if a cell has outputs or a number
"""

import argparse
import json
import sys
from pathlib import Path


def cells_with_outputs(notebook: Path) -> list[int]:
    """The numbers, from 1, of the cells that have outputs or an execution count."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [
        number
        for number, cell in enumerate(cells, start=1)
        if cell.get("outputs") or cell.get("execution_count") is not None
    ]


def main() -> int:
    """Print the cells to clear; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="notebooks")
    status = 0
    for path in parser.parse_args().files:
        if found := cells_with_outputs(Path(path)):
            print(f"{path}: cells {', '.join(map(str, found))} have outputs; clear them")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
