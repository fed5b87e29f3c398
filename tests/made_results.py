"""Evaluation results in the format of the runner, made without a network or images."""

import hashlib
import json

from dgunet.data.catalogue.entries import dataset as entry
from dgunet.evaluation.protocols import PROTOCOLS
from dgunet.evaluation.rows import Row, mean, write_rows
from dgunet.system.files import sha256_file, write_json
from dgunet.system.seals import write_seal


def digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def made_rows(dataset, count, seed=0):
    """Rows with different values for each image; rows of DND have no scores."""
    rules = PROTOCOLS[entry(dataset).protocol]
    rows = []
    for number in range(count):
        value = int(digest(dataset, seed, number)[:8], 16) / 16**8
        scores = (20 + 20 * value, 0.5 + value / 2, 15 + value, 0.4 + value / 4)
        scores = scores if rules.scores_locally else (None,) * 4
        sha = digest("image", dataset, seed, number)
        rows.append(Row(f"{number + 1}", *scores, rules.name, rules.version, 24, 32, sha))
    return rows


def write_result(folder, dataset, row="DGUNet", ratio=None, *, profile="sample", rows=None, **more):
    """Write a valid evaluation to ``folder``; ``more`` replaces fields of the returned summary."""
    info = entry(dataset)
    count = info.pairs if profile == "paper" else 2
    rows = made_rows(dataset, count, (row, ratio)) if rows is None else rows
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "per_image.parquet", rows)
    whole = profile == "paper" and len(rows) == info.pairs
    state = "measured" if whole else "partial"
    if not PROTOCOLS[info.protocol].scores_locally:
        state = "waiting for the server"
    summary = {
        "profile": profile,
        "dataset": dataset,
        "task": info.task,
        "variant": "DGUNet" if row == "DGUNet" else "DGUNet+",
        "row": row,
        "ratio": ratio,
        "images": len(rows),
        "published_images": info.pairs,
        "complete": whole,
        "state": state,
        "data_digest": digest("data", dataset, profile),
        "checkpoint_sha256": digest("weights", row, ratio, info.task),
        "protocol": info.protocol,
        "protocol_version": PROTOCOLS[info.protocol].version,
        "selection": "last",
        "weights": "other",
        "training_digest": "",
        "parity": profile == "paper",
    }
    for name in ("psnr", "ssim", "input_psnr", "input_ssim"):
        summary[name] = mean(getattr(one, name) for one in rows)
    summary["per_image_sha256"] = sha256_file(folder / "per_image.parquet")
    summary |= more
    write_json(folder / "summary.json", summary)
    write_seal(folder)
    return summary


def reseal(folder):
    """Seal an edited folder anew, as whoever edits with care would."""
    write_seal(folder)


def edit(path, /, **changes):
    """Replace fields of a JSON file, as an editor would."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2))
