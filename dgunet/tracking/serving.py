"""The model class that MLflow loads for a logged network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dgunet.system.errors import ConfigError

if TYPE_CHECKING:
    from dgunet.user_images.decoded import UserImage

ENCODED = "images"
"""Parameter of a request with encoded images."""


class RestorationModel:
    """A network that restores batches of arrays, or single images as arrays, files or base64 text.

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
            params: ``images``, base64 texts of PNG or JPEG files to restore instead of
                ``model_input``, which must be empty then. A request over HTTP can contain them.

        Returns:
            For encoded images, a list of base64 texts of PNG files. For a batch, the estimate of
            the last stage, clipped to [0, 1], as an array of the same shape; for images, an object
            array (N,) of such estimates, in which each image has the type and shape of its input,
            and a file has the shape (H, W, C).

        Raises:
            DgunetError: for a missing or damaged file, an image too large for the memory, or both
                kinds of input.
        """
        batch = np.asarray(model_input)
        if encoded := list((params or {}).get(ENCODED, ())):
            if batch.size:
                raise ConfigError(
                    f"the request has both `inputs` and the parameter `{ENCODED}`.",
                    "Leave `inputs` empty: [[[[]], [[]], [[]]]], or [[[[]]]] for grey images.",
                )
            return [self.restore_encoded(text, f"{ENCODED}[{n}]") for n, text in enumerate(encoded)]
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

            return np.asarray(self._restore_image(read_image(Path(image)), str(image)).pixels)
        pixels = np.asarray(image)
        if np.issubdtype(pixels.dtype, np.floating):
            planes = np.atleast_3d(pixels).transpose(2, 0, 1)[None]
            restored = self._restore_batch(planes.astype(np.float32))[0].transpose(1, 2, 0)
            return np.asarray(restored, pixels.dtype).reshape(pixels.shape)
        from dgunet.user_images.decoded import UserImage

        given = UserImage(np.atleast_3d(pixels))
        return np.asarray(self._restore_image(given, "the image").pixels).reshape(pixels.shape)

    def restore_encoded(self, text: str, name: str) -> str:
        """Restore one image given as the base64 text of a PNG or JPEG file; return that of a PNG.

        The PNG has the size, bit depth, transparency and profile of the given image.
        """
        from dgunet.tracking.encoded_images import decode_image, encode_png

        return encode_png(self._restore_image(decode_image(text, name), name))

    def _restore_image(self, image: UserImage, name: str) -> UserImage:
        from dgunet.user_images.restoring import restore_user_image

        channels = self.network.config.channels
        return restore_user_image(self.network, image, name, channels=channels)

    def _restore_batch(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        device = next(self.network.parameters()).device
        with torch.inference_mode():
            restored = self.network(torch.as_tensor(batch, device=device))[-1].clamp(0, 1)
        return np.asarray(restored.cpu().numpy(), np.float32)


def _load_pyfunc(path: str) -> RestorationModel:
    """Entry point that MLflow calls with the path of the weights."""
    return RestorationModel(Path(path))
