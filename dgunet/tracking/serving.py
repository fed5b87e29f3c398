"""What MLflow loads when somebody loads or serves a logged network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RestorationModel:
    """A network that restores batches of arrays, and single pictures as arrays or files.

    For compressive sensing the input is the clean grey image, which the network samples itself.
    """

    def __init__(self, weights: Path) -> None:
        from dgunet import network

        self.network, _ = network.load_network(weights)
        self.network.eval()

    def predict(self, model_input: NDArray[Any], params: dict[str, Any] | None = None) -> Any:
        """Restore what ``mlflow.pyfunc`` hands over.

        Args:
            model_input: a batch, float32 (N, C, H, W) in [0, 1]; or an object array (N,) of
                pictures, each a path, or an array (H, W) or (H, W, C) of uint8, uint16 or
                float in [0, 1].
            params: none are known.

        Returns:
            The last stage's estimate, clipped to [0, 1]: for a batch of the same shape; for
            pictures an object array (N,), each restored in the type and shape it had, a file
            as its pixels (H, W, C).

        Raises:
            DgunetError: for a missing or damaged file, or a picture too large for the memory.
        """
        batch = np.asarray(model_input)
        if batch.dtype != object:
            return self._restore_batch(batch.astype(np.float32, copy=False))
        restored = np.empty(len(batch), dtype=object)
        for index, picture in enumerate(batch):
            restored[index] = self.restore(picture)
        return restored

    def restore(self, picture: str | Path | NDArray[Any]) -> NDArray[Any]:
        """Restore one picture; see `predict`."""
        if isinstance(picture, str | Path):
            from dgunet.user_images.restoring import read_image

            return self._restore_pixels(read_image(Path(picture)).pixels, str(picture))
        pixels = np.asarray(picture)
        if np.issubdtype(pixels.dtype, np.floating):
            planes = np.atleast_3d(pixels).transpose(2, 0, 1)[None]
            restored = self._restore_batch(planes.astype(np.float32))[0].transpose(1, 2, 0)
            return np.asarray(restored, pixels.dtype).reshape(pixels.shape)
        restored = self._restore_pixels(np.atleast_3d(pixels), "the picture")
        return restored.reshape(pixels.shape)

    def _restore_pixels(self, pixels: NDArray[Any], name: str) -> NDArray[Any]:
        from dgunet.user_images.restoring import UserImage, restore_user_image

        channels = self.network.config.channels
        shown = restore_user_image(self.network, UserImage(pixels), name, channels=channels)
        return np.asarray(shown.pixels)

    def _restore_batch(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        device = next(self.network.parameters()).device
        with torch.inference_mode():
            restored = self.network(torch.as_tensor(batch, device=device))[-1].clamp(0, 1)
        return np.asarray(restored.cpu().numpy(), np.float32)


def _load_pyfunc(path: str) -> RestorationModel:
    """Entry point that MLflow calls with the path of the weights."""
    return RestorationModel(Path(path))
