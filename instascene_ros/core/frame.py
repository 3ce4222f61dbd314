"""One posed RGB-D image, with its entity masks where they are known."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from PIL import Image

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.masks import Masks


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
        """The frame at `width` pixels: colour averaged; depth and labels taken from the nearest pixel."""
        if width == self.camera.width:
            return self
        camera = self.camera.scaled_to_width(width)
        size = (camera.width, camera.height)
        rgb = np.asarray(Image.fromarray(self.rgb).resize(size, Image.Resampling.BOX))
        # Depth is never averaged: a mean across an edge is a point in mid-air.
        depth_m = np.asarray(Image.fromarray(self.depth_m).resize(size, Image.Resampling.NEAREST))
        masks = self.masks.resized(*size) if self.masks is not None else None
        return replace(self, camera=camera, rgb=rgb, depth_m=depth_m, masks=masks)
