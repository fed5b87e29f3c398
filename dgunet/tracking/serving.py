"""The model class that MLflow loads for a logged network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class RestorationModel:
    """A network that restores batches of arrays, or single images as arrays or files.

    For compressive sensing the input is the original grey image; the network measures it itself.
    """

    def __init__(self, weights: Path) -> None:
        from dgunet import network

        self.network, _ = network.load_network(weights)
        self.network.eval()

    def predict(self, model_input: NDArray[Any], params: dict[str, Any] | None = None) -> Any:
        """Restore the input of ``mlflow.pyfunc``.

        Args:
            model_input: a batch, float32 (N, C, H, W) in [0, 1]; or an object array (N,) of
                images, each a path, or an array (H, W) or (H, W, C) of uint8, uint16 or
                float in [0, 1].
            params: not used.

        Returns:
            The estimate of the last stage, clipped to [0, 1]. For a batch, an array of the same
            shape; for images, an object array (N,), in which each image has the type and shape of
            its input, and a file has the shape (H, W, C).

        Raises:
            DgunetError: for a missing or damaged file, or an image too large for the memory.
        """
        batch = np.asarray(model_input)
        if batch.dtype != object:
            return self._restore_batch(batch.astype(np.float32, copy=False))
        restored = np.empty(len(batch), dtype=object)
        for index, image in enumerate(batch):
            restored[index] = self.restore(image)
        return restored

    def restore(self, image: str | Path | NDArray[Any]) -> NDArray[Any]:
        """Restore one image; see `predict`."""
        if isinstance(image, str | Path):
            from dgunet.user_images.restoring import read_image

            return self._restore_pixels(read_image(Path(image)).pixels, str(image))
        pixels = np.asarray(image)
        if np.issubdtype(pixels.dtype, np.floating):
            planes = np.atleast_3d(pixels).transpose(2, 0, 1)[None]
            restored = self._restore_batch(planes.astype(np.float32))[0].transpose(1, 2, 0)
            return np.asarray(restored, pixels.dtype).reshape(pixels.shape)
        restored = self._restore_pixels(np.atleast_3d(pixels), "the image")
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
