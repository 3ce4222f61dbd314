"""A frame that joins the map: its images on the map's device, uploaded once, and what is derived from them."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.frame_images import FrameImages, images_of
from instascene_ros.core.rendering.render import ray_image
from instascene_ros.core.upload import uploaded


@dataclass
class Keyframe:
    """Derived images are computed when first asked for and kept while the keyframe is in the window."""

    frame: Frame
    config: MappingConfig
    device: str
    gain: Float32[Tensor, " 3"] = field(init=False)  # image to map colours: undoes this frame's exposure

    def __post_init__(self) -> None:
        self.gain = torch.ones(3, device=self.device)

    @property
    def camera(self) -> Camera:
        return self.frame.camera

    @property
    def num_masks(self) -> int:
        return len(self.frame.masks) if self.frame.masks is not None else 0

    @cached_property
    def rgb(self) -> Float32[Tensor, "H W 3"]:
        """The image as it came, 0..1."""
        return self._upload(self.frame.rgb).float() / 255

    @cached_property
    def depth_m(self) -> Float32[Tensor, "H W"]:
        return self._upload(self.frame.depth_m)

    @cached_property
    def labels(self) -> Int64[Tensor, "H W"]:
        """Mask of every pixel; 0 everywhere without masks."""
        if self.frame.masks is None:
            return torch.zeros(self.frame.depth_m.shape, dtype=torch.int64, device=self.device)
        return self._upload(self.frame.masks.labels).long()

    @cached_property
    def position_m(self) -> Float32[Tensor, " 3"]:
        """The camera's centre, world."""
        return self._upload(self.frame.T_world_camera[:3, 3].astype(np.float32))

    @cached_property
    def rays(self) -> Float32[Tensor, "H W 3"]:
        return ray_image(self.camera, self.device)

    @cached_property
    def images(self) -> FrameImages:
        return images_of(self.depth_m, self.labels, self.rays, self.config, self.num_masks)

    @property
    def smooth_m(self) -> Float32[Tensor, "H W"]:
        return self.images.smooth_m

    @property
    def normals_camera(self) -> Float32[Tensor, "H W 3"]:
        return self.images.normals

    @property
    def edges(self) -> Bool[Tensor, "H W"]:
        return self.images.edges

    @property
    def usable(self) -> Bool[Tensor, "H W"]:
        return self.images.usable

    @property
    def tolerance_m(self) -> Float32[Tensor, "H W"]:
        return self.images.tolerance_m

    def _upload(self, image: np.ndarray) -> Tensor:
        return uploaded(image, self.device)
