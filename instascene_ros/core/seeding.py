"""New surfels for what the map does not explain yet."""

import numpy as np
import torch
from jaxtyping import Bool, Float32
from scipy.spatial.transform import Rotation
from torch import Tensor

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import transform
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering.render import Rendering

FULL_COVERAGE = 0.8  # standard deviation of a surfel per surfel spacing: what is behind must not shine through
MAX_RIM_SHARE = 0.5  # masks of which more is border are thin
MIN_COSINE = 0.2  # flatter views stretch a surfel too far


def unexplained(keyframe: Keyframe, rendering: Rendering | None) -> Bool[np.ndarray, "H W"]:
    """Pixels whose depth the map does not explain: nothing there, or a surface behind the one observed."""
    if rendering is None:
        return keyframe.usable
    alpha, mapped_m = rendering.alpha.cpu().numpy(), rendering.depth_m.cpu().numpy()
    in_front = keyframe.frame.depth_m < mapped_m - keyframe.tolerance_m
    return keyframe.usable & ((alpha < keyframe.config.explained_alpha) | in_front)


def seed_surfels(keyframe: Keyframe, new: Bool[np.ndarray, "H W"]) -> GaussianMap:
    """One surfel per grid cell of `new` pixels, on the observed surface, never across a depth or mask edge."""
    frame, smooth_m, normals_camera = keyframe.frame, keyframe.smooth_m, keyframe.normals_camera
    config, device = keyframe.config, keyframe.device
    allowed = new & ~keyframe.edges & (normals_camera != 0).any(-1) & ~_broad_rims(frame)
    fine = _small_masks(frame, config)
    chosen = _one_per_cell(allowed & fine, config.fine_stride_px) | _one_per_cell(
        allowed & ~fine, config.seed_stride_px
    )
    v, u = np.nonzero(chosen)
    stride_px = np.where(fine[v, u], config.fine_stride_px, config.seed_stride_px)
    rays = frame.camera.rays()[v, u]
    points_camera = rays * smooth_m[v, u, None]
    axes_camera, cosine = _surfel_axes(normals_camera[v, u], rays)
    reach_px = np.minimum(stride_px, _border_distance_px(frame)[v, u]) * FULL_COVERAGE
    spacing_m = reach_px * smooth_m[v, u] / frame.camera.fx
    scales_m = np.stack([spacing_m / cosine, spacing_m], axis=-1)
    rotations = frame.T_world_camera[:3, :3] @ axes_camera
    surfels = GaussianMap.from_surfels(
        means_m=_tensor(transform(frame.T_world_camera, points_camera), device),
        quats_wxyz=_tensor(_quats_of_rotations(rotations), device),
        scales_m=_tensor(scales_m, device),
        opacities=torch.full((len(v),), config.seed_opacity, device=device),
        colors=_tensor(frame.rgb[v, u] / 255.0, device),
    )
    surfels.birth_ns[:] = frame.stamp_ns
    surfels.confidence[:] = 1.0  # its own first observation
    return surfels


def _border_distance_px(frame: Frame) -> Float32[np.ndarray, "H W"]:
    """How far the next mask border is, up to a few pixels: surfels end where objects end."""
    distance_px = np.full(frame.depth_m.shape, np.inf, np.float32)
    for radius_px in (2, 1) if frame.masks is not None else ():
        distance_px[frame.masks.boundary(radius_px)] = radius_px - 0.5
    return distance_px


def _broad_rims(frame: Frame) -> Bool[np.ndarray, "H W"]:
    """Border pixels of masks that have an inside: other views show what is there better. Thin things are all border."""
    if frame.masks is None:
        return np.zeros(frame.depth_m.shape, bool)
    labels, rim = frame.masks.labels, frame.masks.boundary(1)
    area_px = np.bincount(labels.ravel(), minlength=len(frame.masks) + 1)
    rim_px = np.bincount(labels[rim], minlength=len(frame.masks) + 1)
    return rim & (rim_px < MAX_RIM_SHARE * area_px)[labels]


def _small_masks(frame: Frame, config: MappingConfig) -> Bool[np.ndarray, "H W"]:
    """Pixels of masks that cover little of the image."""
    if frame.masks is None:
        return np.zeros(frame.depth_m.shape, bool)
    area_px = np.bincount(frame.masks.labels.ravel(), minlength=len(frame.masks) + 1)
    small = area_px < config.fine_mask_share * frame.depth_m.size
    small[0] = False
    return small[frame.masks.labels]


def _one_per_cell(allowed: Bool[np.ndarray, "H W"], stride_px: int) -> Bool[np.ndarray, "H W"]:
    """Keep the first allowed pixel of every stride x stride cell, nearest to the cell's middle."""
    height, width = allowed.shape
    v, u = np.nonzero(allowed)
    middle = (stride_px - 1) / 2
    distance = np.abs(v % stride_px - middle) + np.abs(u % stride_px - middle)
    order = np.argsort(distance, kind="stable")
    cells = (v // stride_px) * (width // stride_px + 1) + u // stride_px
    _, first = np.unique(cells[order], return_index=True)
    chosen = np.zeros((height, width), bool)
    chosen[v[order][first], u[order][first]] = True
    return chosen


def _surfel_axes(
    normals: Float32[np.ndarray, "P 3"], rays: Float32[np.ndarray, "P 3"]
) -> tuple[Float32[np.ndarray, "P 3 3"], Float32[np.ndarray, " P"]]:
    """Columns: direction in which slant stretches a pixel, the one across it, the normal; and the view cosine."""
    view = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    along = view - (view * normals).sum(-1, keepdims=True) * normals
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    helper = np.cross(normals, np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    along = np.where(length > 1e-3, along / np.maximum(length, 1e-9), helper)
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    across = np.cross(normals, along)
    cosine = np.clip(-(view * normals).sum(-1), MIN_COSINE, 1.0)
    return np.stack([along, across, normals], axis=-1).astype(np.float32), cosine.astype(np.float32)


def _quats_of_rotations(rotations: np.ndarray) -> Float32[np.ndarray, "P 4"]:
    if len(rotations) == 0:
        return np.zeros((0, 4), np.float32)
    xyzw = Rotation.from_matrix(rotations).as_quat()
    return np.concatenate([xyzw[:, 3:], xyzw[:, :3]], axis=-1).astype(np.float32)


def _tensor(array: np.ndarray, device: str) -> Float32[Tensor, "..."]:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)
