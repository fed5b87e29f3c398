"""Mean scores in small files for git, in ``results/<profile>/<weights>``.

They are outputs of the DVC stages that git tracks instead of DVC's cache, so that ``dvc metrics
diff`` and the closing lines of ``make reproduce`` compare with the commit in every clone. Equal
runs write equal bytes.
"""

from __future__ import annotations

from pathlib import Path

from dgunet.evaluation.summary import EvaluationSummary
from dgunet.system import files

SCORES = ("psnr", "ssim", "input_psnr", "input_ssim")
_COUNTS = ("identical", "identical_inputs")


def commit_scores(folder: Path, summary: EvaluationSummary) -> Path:
    """Write the mean scores of an evaluation; return the path of the JSON file.

    Args:
        folder: the folder for git.
        summary: the evaluation's summary; scores that it lacks are left out. Beside an infinite
            mean, which JSON cannot hold, is the number of identical images.
    """
    ratio = "" if summary.ratio is None else f"-r{summary.ratio}"
    path = folder / f"{summary.dataset}-{summary.row}{ratio}.json"
    content = summary.to_dict()
    known = {name: content.get(name) for name in SCORES + _COUNTS}
    files.write_json(path, {name: value for name, value in known.items() if value is not None})
    return path
