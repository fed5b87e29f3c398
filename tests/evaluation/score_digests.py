"""Score random images under every protocol; print the scores, with all digits, as JSON."""

import json

import numpy as np

from dgunet.evaluation.convention_scores import PairScores
from dgunet.evaluation.conventions import CONVENTIONS
from dgunet.evaluation.protocols import PROTOCOLS


def scores():
    """Scores by protocol and size, and under all conventions."""
    noise, found = np.random.default_rng(1), {}
    for height, width in ((67, 93), (150, 301)):
        for name, rules in PROTOCOLS.items():
            if rules.scores_locally:
                target = noise.integers(0, 256, (height, width, rules.channels), np.uint8)
                restored = (target / 255 + noise.normal(0, 0.05, target.shape)).astype(np.float32)
                score = rules.score(rules.quantise(restored), target)
                found[f"{name} {height}"] = [score.psnr.hex(), score.ssim.hex()]
        target = noise.integers(0, 256, (height, width, 3), np.uint8)
        restored = np.clip(target + noise.integers(-9, 9, target.shape), 0, 255).astype(np.uint8)
        for name, each in PairScores(restored, target).measure(CONVENTIONS.values()).items():
            found[f"{name} {height}"] = str(each)
    return found


if __name__ == "__main__":
    print(json.dumps(scores()))
