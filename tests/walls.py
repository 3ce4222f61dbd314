"""Plain views with known answers: walls straight ahead, at a small size."""

from dataclasses import replace

import numpy as np
from scenes import camera_of_width

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.mapper import Mapper
from instascene_ros.core.rendering import make_rasterizer

WALL_CONFIG = MappingConfig(refine_steps=0, depth_noise_m=0.001)


def wall(distance_m: float = 1.0, width: int = 64, **changes: object) -> Frame:
    """A grey wall straight ahead."""
    camera = camera_of_width(width)
    size = (camera.height, camera.width)
    rgb = np.full((*size, 3), 128, np.uint8)
    return replace(Frame(0, camera, rgb, np.full(size, distance_m, np.float32), np.eye(4)), **changes)


def looking_from(x_m: float) -> np.ndarray:
    """Pose of a camera moved sideways."""
    T_world_camera = np.eye(4)
    T_world_camera[0, 3] = x_m
    return T_world_camera


def mapper(config: MappingConfig = WALL_CONFIG) -> Mapper:
    return Mapper(config, make_rasterizer("cpu"), min_trace_weight=0.1)
