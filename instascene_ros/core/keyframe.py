"""A frame that joins the map, with what is derived from its images once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from instascene_ros.core import depth
from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.geometry import normals_of_depth


@dataclass(frozen=True)
class Keyframe:
    """Derived images are computed when first asked for and kept while the keyframe is in the window."""

    frame: Frame
    config: MappingConfig
    device: str

    @cached_property
    def smooth_m(self) -> Float32[np.ndarray, "H W"]:
        return depth.smooth(self.frame.depth_m, self.config)

    @cached_property
    def normals_camera(self) -> Float32[np.ndarray, "H W 3"]:
        return normals_of_depth(self.smooth_m, self.frame.camera)

    @cached_property
    def edges(self) -> Bool[np.ndarray, "H W"]:
        return depth.edges(self.frame.depth_m, self.config)

    @cached_property
    def usable(self) -> Bool[np.ndarray, "H W"]:
        return depth.usable(self.frame.depth_m, self.config)

    @cached_property
    def tolerance_m(self) -> Float32[np.ndarray, "H W"]:
        return depth.tolerance_m(self.frame.depth_m, self.config)

    @cached_property
    def targets(self) -> dict[str, Tensor]:
        """rgb (0..1), depth_m, normals, usable and tolerance_m on the map's device."""
        images = {
            "rgb": self.frame.rgb.astype(np.float32) / 255,
            "depth_m": self.smooth_m,
            "normals": self.normals_camera,
            "usable": self.usable,
            "tolerance_m": self.tolerance_m,
        }
        return {name: torch.from_numpy(image).to(self.device) for name, image in images.items()}
