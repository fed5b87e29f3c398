"""Evaluation summaries whose values identify their table cell."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dgunet.paper import cell_positions

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))  # the browser of the screenshots

PUBLISHED_IMAGES = {
    "Test100": 98,
    "Rain100H": 100,
    "Rain100L": 100,
    "Test2800": 2800,
    "Test1200": 1200,
    "GoPro": 1111,
    "HIDE": 2025,
    "RealBlur-J": 980,
    "SIDD": 1280,
    "DND": 1000,
    "Set11": 11,
    "BSD68": 68,
}


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@pytest.fixture
def summary() -> Callable[..., dict[str, Any]]:
    """A function that makes one summary; keywords replace its keys."""

    def make(
        dataset: str,
        row: str = "DGUNet+",
        ratio: int | None = None,
        *,
        profile: str = "paper",
        **changes: Any,
    ) -> dict[str, Any]:
        whole, count = profile == "paper", PUBLISHED_IMAGES[dataset]
        number = int(_digest(dataset, row, ratio)[:8], 16) / 16**8
        content = {
            "profile": profile,
            "dataset": dataset,
            "task": "derain",
            "variant": "DGUNet" if row == "DGUNet" else "DGUNet+",
            "row": row,
            "ratio": ratio,
            "images": count if whole else 2,
            "published_images": count,
            "complete": whole,
            "state": "measured" if whole else "partial",
            "data_digest": _digest(dataset, profile),
            "checkpoint_sha256": _digest(row, ratio),
            "protocol": "some-protocol",
            "protocol_version": "1",
            "selection": "last",
            "parity": True,
            "psnr": 20 + 20 * number,
            "ssim": 0.5 + number / 2,
            "input_psnr": 18.0,
            "input_ssim": 0.4,
            "per_image_sha256": _digest("per image", dataset, row, ratio),
        }
        return content | changes

    return make


@pytest.fixture
def campaign(summary: Callable[..., dict[str, Any]]) -> Callable[[str], list[dict[str, Any]]]:
    """A function that makes a summary for every cell; DND is waiting for its server."""
    secret = {"state": "waiting for the server", "psnr": None, "ssim": None}

    def make(profile: str) -> list[dict[str, Any]]:
        return [
            summary(*key, profile=profile, **(secret if key[0] == "DND" else {}))
            for key in sorted(cell_positions.result_keys(), key=repr)
        ]

    return make
