"""The pinhole camera."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.sampling import beside


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics in pixels; optical axes x right, y down, z forward; integer = pixel centre.

    Raises:
        InvalidFrameError: a focal length or a size that is not positive and finite.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (np.isfinite([self.fx, self.fy, self.cx, self.cy]).all() and self.fx > 0 and self.fy > 0):
            raise InvalidFrameError(
                f"camera has fx={self.fx} fy={self.fy} cx={self.cx} cy={self.cy}; expected finite values and "
                "focal lengths above 0: is the camera calibrated and camera_info published?"
            )
        if self.width <= 0 or self.height <= 0:
            raise InvalidFrameError(f"camera is {self.width}x{self.height} px; expected a positive size")

    @property
    def K(self) -> Float64[np.ndarray, "3 3"]:
        """Intrinsic matrix, px."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def scaled_to_width(self, width: int) -> "Camera":
        """The same view on an image `width` pixels wide; keeps the aspect ratio (height is rounded)."""
        height = max(1, round(self.height * width / self.width))
        sx, sy = width / self.width, height / self.height
        # Pixel centres sit at integers, so the image spans -0.5 .. width-0.5.
        return Camera(
            self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5, width, height
        )

    def sampled_to_width(self, width: int) -> "Camera":
        """The view of the pixels that `sampled` takes: where that is every second, half a pixel beside the middle."""
        camera = self.scaled_to_width(width)
        right = beside(self.width, camera.width) * camera.width / self.width
        down = beside(self.height, camera.height) * camera.height / self.height
        return replace(camera, cx=camera.cx - right, cy=camera.cy - down)

    def cropped(self, left: int, top: int, width: int, height: int) -> "Camera":
        """The camera of the sub-image that starts at pixel (left, top)."""
        return Camera(self.fx, self.fy, self.cx - left, self.cy - top, width, height)

    def rays(self) -> Float32[np.ndarray, "H W 3"]:
        """Viewing ray of every pixel in the camera frame, scaled to z = 1."""
        u = (np.arange(self.width, dtype=np.float32) - self.cx) / self.fx
        v = (np.arange(self.height, dtype=np.float32) - self.cy) / self.fy
        uu, vv = np.meshgrid(u, v)
        return np.stack([uu, vv, np.ones_like(uu)], axis=-1).astype(np.float32)
