"""One object: what the robot knows of it, and the completed model made from that."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, UInt8

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import normals_of_depth

MASK_OBJECT, MASK_OCCLUDED, MASK_OTHER = 255, 128, 0


@dataclass(frozen=True)
class ObjectView:
    """One posed look at an object: a crop of a keyframe, wide enough to show the free space around it."""

    camera: Camera  # intrinsics of the crop
    rgb: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]  # 0 = none
    mask: UInt8[np.ndarray, "H W"]  # 255 the object, 128 hidden by something in front, 0 other
    T_world_camera: Float64[np.ndarray, "4 4"]

    @cached_property
    def normals(self) -> Float32[np.ndarray, "H W 3"]:
        """Of every pixel, unit, in the camera frame, facing the camera; zero at steps in depth and without any."""
        return normals_of_depth(self.depth_m, self.camera, radius_px=1)

    @cached_property
    def cosines(self) -> Float32[np.ndarray, "H W"]:
        """Between the ray of every pixel and the surface there, smoothed over 2 px; 0 where it cannot be told."""
        rays = self.camera.rays()
        return -(normals_of_depth(self.depth_m, self.camera) * rays).sum(-1) / np.linalg.norm(rays, axis=-1)


@dataclass(frozen=True)
class ObjectObservation:
    """All that completing one object needs, so that it can happen in another process or on another machine."""

    map_id: str
    instance_id: int
    instance_revision: int
    surfels: GaussianMap  # the instance's own
    context: GaussianMap  # near it, not its own: support and neighbours
    views: tuple[ObjectView, ...]  # best first
    up: Float64[np.ndarray, " 3"]  # unit, world


@dataclass(frozen=True)
class GeneratedView:
    """What a prior says a camera would see of the whole object, alone."""

    camera: Camera
    T_world_camera: Float64[np.ndarray, "4 4"]
    rgb: UInt8[np.ndarray, "H W 3"]
    depth_m: Float32[np.ndarray, "H W"]  # 0 where the object is not
    alpha: Float32[np.ndarray, "H W"]  # 0..1, object silhouette


@dataclass(frozen=True)
class CompletedObject:
    """A whole object in place. `observed` is False for every vertex that the prior invented."""

    map_id: str
    instance_id: int
    instance_revision: int
    vertices_m: Float32[np.ndarray, "V 3"]  # world
    faces: Int32[np.ndarray, "F 3"]  # outward, counter-clockwise
    colors: UInt8[np.ndarray, "V 3"]
    observed: Bool[np.ndarray, " V"]
    T_world_object: Float64[np.ndarray, "4 4"]  # box centre and axes, z as close to up as the box allows
    size_m: Float32[np.ndarray, " 3"]  # along the object axes
    watertight: bool
    confidence: float  # 0..1
    observed_fraction: float  # 0..1 of the surface area
    method: str  # name of the prior
    seed: int
    warning: str = ""  # why it should not be trusted, in a sentence; '' where nothing speaks against it
