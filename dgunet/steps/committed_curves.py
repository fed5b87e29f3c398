"""Loss curves in small files for git, in ``results/<profile>``.

They are outputs of the DVC stages that git tracks instead of DVC's cache, so that ``dvc plots
diff`` compares with the commit in every clone. Equal runs write equal bytes.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dgunet.system import files

CURVE_POINTS = 1000
"""Most points of a curve; of a longer training evenly spaced steps are kept."""


def commit_curve(folder: Path, key: str, losses: Path) -> tuple[Path, Path]:
    """Write the loss curve of a training; return the paths of its points and of its drawing.

    The drawing is an SVG image, which ``dvc plots`` shows without a network.

    Args:
        folder: the folder for git.
        key: name of the network.
        losses: the training's ``loss.csv``, with the columns ``step`` and ``loss``.
    """
    curve = pd.read_csv(losses, usecols=["step", "loss"], dtype=str)  # the same digits
    curve = curve.iloc[:: max(1, -(-len(curve) // CURVE_POINTS))]
    points, drawing = folder / "loss" / f"{key}.csv", folder / "charts" / f"{key}.svg"
    files.write_text(points, curve.to_csv(index=False, lineterminator="\n"))
    _draw(curve, drawing, f"training loss of {key}")
    return points, drawing


def _draw(curve: pd.DataFrame, path: Path, title: str) -> None:
    """Draw a curve as SVG, whatever the user's settings of matplotlib are."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", {"svg.hashsalt": "dgunet", "svg.fonttype": "none"}]):
        figure = Figure(figsize=(6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(curve["step"].astype(int), curve["loss"].astype(float), linewidth=1)
        axes.set(xlabel="step", ylabel="loss", yscale="log", title=title)
        axes.grid(alpha=0.3)
        with files.atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
