"""Create docs/images/strip.png from the results of `make reproduce`: input, restored, target.

Usage: python docs/make_strip.py
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from dgunet.tracking.reports.strips import strips

ROOT = Path(__file__).parents[1]
SETS = ("Rain100H", "SIDD", "GoPro")
ZOOM = 2


def main() -> None:
    """Write one row per task, enlarged without interpolation, which shows the scored pixels."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    rows = []
    for name in SETS:
        results = ROOT / "build" / "evaluation" / f"{name}-DGUNet"
        assert (
            json.loads((results / "summary.json").read_text(encoding="utf-8"))["profile"]
            == "sample"
        )
        _, strip = next(strips(results, ROOT / "build" / "prepared" / name))
        rows.append(strip.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1))
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, 8), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    out = ROOT / "docs" / "images" / "strip.png"
    out.parent.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate(padded)).save(out)


if __name__ == "__main__":
    main()
