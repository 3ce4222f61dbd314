"""One posed RGB-D image, with its entity masks where they are known."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from PIL import Image

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.masks import Masks
from instascene_ros.core.sampling import beside, sampled


@dataclass(frozen=True)
class Frame:
    """Colour and registered depth of one instant, and the camera's pose in the world.

    Raises:
        InvalidFrameError: images, masks and camera disagree in size, or the pose is not a rigid transform.
    """

    stamp_ns: int
    camera: Camera
    rgb: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]  # along z; 0 = none
    T_world_camera: Float64[np.ndarray, "4 4"]
    masks: Masks | None = None  # None = not given: a segmenter has to be asked

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        given = {"colour": self.rgb.shape[:2], "depth": self.depth_m.shape}
        if self.masks is not None:
            given["masks"] = self.masks.labels.shape
        for name, shape in given.items():
            if shape != size:
                raise InvalidFrameError(
                    f"{name} image is {shape[1]}x{shape[0]} px but the camera is {size[1]}x{size[0]} px: "
                    "register depth and masks to the colour image"
                )
        R = self.T_world_camera[:3, :3]
        if not np.isfinite(self.T_world_camera).all() or np.abs(R @ R.T - np.eye(3)).max() > 1e-3:
            raise InvalidFrameError(
                f"camera pose is not a rigid transform:\n{self.T_world_camera}\nexpected a rotation and metres"
            )

    @property
    def valid(self) -> Bool[np.ndarray, "H W"]:
        """Pixels that have depth."""
        return self.depth_m > 0

    def resized(self, width: int) -> "Frame":
        """The frame at `width` pixels: depth and labels taken from the nearest pixel, colour averaged around that."""
        if width == self.camera.width:
            return self
        camera = self.camera.sampled_to_width(width)
        depth_m = sampled(self.depth_m, camera.width, camera.height)
        masks = self.masks.resized(camera.width, camera.height) if self.masks is not None else None
        return replace(self, camera=camera, rgb=_averaged(self.rgb, camera), depth_m=depth_m, masks=masks)


def _averaged(rgb: UInt8[np.ndarray, "H W 3"], camera: Camera) -> UInt8[np.ndarray, "h w 3"]:
    """At the size of `camera`, whose pixels are those that depth is taken from."""
    height, width = rgb.shape[:2]
    left, top = 1 + beside(width, camera.width), 1 + beside(height, camera.height)
    framed = Image.fromarray(np.pad(rgb, ((1, 1), (1, 1), (0, 0)), "edge"))
    box = (left, top, left + width, top + height)
    return np.asarray(framed.resize((camera.width, camera.height), Image.Resampling.HAMMING, box=box))
