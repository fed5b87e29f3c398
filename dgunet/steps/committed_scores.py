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


def commit_scores(folder: Path, summary: EvaluationSummary) -> Path:
    """Write the mean scores of an evaluation; return the path of the JSON file.

    Args:
        folder: the folder for git.
        summary: the evaluation's summary; scores that it lacks are left out.
    """
    ratio = "" if summary.ratio is None else f"-r{summary.ratio}"
    path = folder / f"{summary.dataset}-{summary.row}{ratio}.json"
    content = summary.to_dict()
    files.write_json(path, {name: content[name] for name in SCORES if content[name] is not None})
    return path
