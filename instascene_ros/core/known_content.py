"""What is known of the images that other cameras would take of an object alone: seen surface and empty space."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.geometry import landing, points_of_depth, transform
from instascene_ros.core.objects import MASK_OBJECT, ObjectObservation, ObjectView
from instascene_ros.core.possible_space import PossibleSpace
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.core.views import PosedCamera, known_pixels

COVERED = 0.5  # blend weight from which a pixel shows the object's surfels
MIN_COSINE = 0.15  # a surface seen flatter than this, from either camera, is not carried over
NEAR_EDGE_PX = 1  # of a source's mask: its pixels mix two surfaces


@dataclass(frozen=True)
class KnownContent:
    """One row a camera. Where `known` is False the rest says nothing."""

    rgb: Float32[np.ndarray, "V H W 3"]  # 0..1, 0 where the object is not
    depth_m: Float32[np.ndarray, "V H W"]  # 0 where the object is not
    alpha: Float32[np.ndarray, "V H W"]  # 1 object, 0 empty
    known: Bool[np.ndarray, "V H W"]

    def share_of_object(self) -> Float32[np.ndarray, " V"]:
        """Share of each image that is known to be the object, of all that is not known to be empty."""
        shown = (self.known & (self.alpha > 0)).sum((1, 2))
        return (shown / np.maximum(shown + (~self.known).sum((1, 2)), 1)).astype(np.float32)


@dataclass(frozen=True)
class _Source:
    """A view that shows the object, ready to be looked up."""

    view: ObjectView
    normals: Float32[np.ndarray, "H W 3"]  # world, towards the camera; 0 unknown
    sure: Bool[np.ndarray, "H W"]

    @classmethod
    def of(cls, view: ObjectView) -> "_Source":
        own = ndimage.binary_erosion(view.mask == MASK_OBJECT, iterations=NEAR_EDGE_PX, border_value=1)
        world = (view.normals @ view.T_world_camera[:3, :3].T).astype(np.float32)
        return cls(view, world, own & (np.abs(view.normals).sum(-1) > 0))


def known_content(
    observation: ObjectObservation,
    space: PossibleSpace,
    cameras: Sequence[PosedCamera],
    rasterizer: Rasterizer,
    config: CompletionConfig,
) -> KnownContent:
    """Carry what the views saw into each camera, by the depth of the object's surfels there.

    A pixel is known to be the object where its point, from the rendered depth, lies on the depth and mask of two views
    (of one, where there are fewer than four) and their surface faces the camera: normals and depth decide, as in
    InstaScene (supplement, section 7). It is known to be empty where its whole ray runs through space that was seen
    through, or that something else fills.
    """
    sources = [_Source.of(view) for view in observation.views]
    rows = [_of_camera(observation, posed, sources, space, rasterizer, config) for posed in cameras]
    rgb, depth_m, alpha, known = (np.stack(column) for column in zip(*rows, strict=True))
    return KnownContent(rgb, depth_m, alpha, known)


def _of_camera(
    observation: ObjectObservation,
    posed: PosedCamera,
    sources: Sequence[_Source],
    space: PossibleSpace,
    rasterizer: Rasterizer,
    config: CompletionConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    camera, T_world_camera = posed
    with torch.no_grad():
        seen = render(rasterizer, observation.surfels.to(rasterizer.device), camera, T_world_camera)
    depth_m = np.where(seen.alpha.cpu().numpy() > COVERED, seen.depth_m.cpu().numpy(), 0).astype(np.float32)
    there = depth_m > 0
    points_m = transform(T_world_camera, points_of_depth(depth_m, camera)[there].astype(np.float64))
    rgb, weight, count = _gather(points_m, T_world_camera[:3, 3], sources, config.observed_tolerance_m)
    sure = count >= (2 if len(sources) >= 4 else 1)
    is_object = np.zeros(depth_m.shape, bool)
    is_object[there] = sure
    colors = np.zeros((*depth_m.shape, 3), np.float32)
    colors[is_object] = rgb[sure] / weight[sure, None]
    empty = ~space.reaches(camera, T_world_camera) & ~is_object
    return colors, np.where(is_object, depth_m, 0), is_object.astype(np.float32), is_object | empty


def _gather(
    points_m: Float64[np.ndarray, "P 3"],
    eye_m: Float64[np.ndarray, " 3"],
    sources: Sequence[_Source],
    tolerance_m: float,
) -> tuple[Float64[np.ndarray, "P 3"], Float64[np.ndarray, " P"], np.ndarray]:
    """(weighted colour, weight, number of views) of each point, over the views that saw it from its front."""
    rgb, weight, count = np.zeros((len(points_m), 3)), np.zeros(len(points_m)), np.zeros(len(points_m), int)
    to_eye = eye_m - points_m
    to_eye /= np.maximum(np.linalg.norm(to_eye, axis=-1, keepdims=True), 1e-9)
    for source in sources:
        view = source.view
        pixels, u, v, z, inside = landing(points_m, view.camera, view.T_world_camera)
        seen = inside & source.sure[v, u]
        seen &= known_pixels(z.astype(np.float32)[None], view.depth_m[v, u][None], tolerance_m)[0]
        to_source = view.T_world_camera[:3, 3] - points_m
        to_source /= np.maximum(np.linalg.norm(to_source, axis=-1, keepdims=True), 1e-9)
        facing_source = (source.normals[v, u] * to_source).sum(-1)
        seen &= ((source.normals[v, u] * to_eye).sum(-1) > MIN_COSINE) & (facing_source > MIN_COSINE)
        rows = np.flatnonzero(seen)
        at = pixels[rows, ::-1].T
        colors = np.stack([ndimage.map_coordinates(view.rgb[..., k], at, np.float64, 1) for k in range(3)], -1) / 255
        w = facing_source[rows] ** 2
        rgb[rows] += w[:, None] * colors
        weight[rows] += w
        count[rows] += 1
    return rgb, weight, count
