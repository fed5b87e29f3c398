"""What MLflow loads when somebody loads a logged network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RestorationModel:
    """A network that restores arrays: float32 (N, C, H, W) in [0, 1] to the same shape.

    For compressive sensing the input is the clean grey image, which the network samples itself.
    """

    def __init__(self, weights: Path) -> None:
        from dgunet import network

        self.network, _ = network.load_network(weights)
        self.network.eval()

    def predict(
        self, model_input: NDArray[np.float32], params: dict[str, Any] | None = None
    ) -> NDArray[np.float32]:
        """Restore a batch; the result is the last stage's estimate, clipped to [0, 1]."""
        import torch

        device = next(self.network.parameters()).device
        with torch.inference_mode():
            batch = torch.as_tensor(np.asarray(model_input, np.float32), device=device)
            restored = self.network(batch)[-1].clamp(0, 1)
        return np.asarray(restored.cpu().numpy(), np.float32)


def _load_pyfunc(path: str) -> RestorationModel:
    """Entry point that MLflow calls with the path of the weights."""
    return RestorationModel(Path(path))
