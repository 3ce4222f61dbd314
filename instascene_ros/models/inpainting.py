"""Colours for what no view saw. The only module that imports OpenCV."""

import numpy as np
from jaxtyping import Bool, UInt8

from instascene_ros.core.errors import BackendUnavailableError

RADIUS_PX = 4.0  # around every pixel that its colour is taken from


class OpenCvInpainter:
    """Continues the colours around a hole along the lines of equal brightness (Bertalmio et al., CVPR 2001)."""

    name = "opencv"

    def __init__(self) -> None:
        try:
            import cv2
        except ImportError as error:
            raise BackendUnavailableError(
                f"filling the holes of removed objects needs OpenCV ({error}): "
                "sudo apt install python3-opencv, or pip install opencv-python-headless"
            ) from error
        self._cv2 = cv2

    def __call__(self, rgb: UInt8[np.ndarray, "H W 3"], hole: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
        """See `Inpainter`."""
        filled = self._cv2.inpaint(rgb, hole.astype(np.uint8), RADIUS_PX, self._cv2.INPAINT_NS)
        return np.where(hole[..., None], filled, rgb)
