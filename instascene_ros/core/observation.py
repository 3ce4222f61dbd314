"""From the map to one object's observation: its surfels, its surroundings, and its best views with visibility masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int32, UInt8
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import TooFewPointsError
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.objects import MASK_OBJECT, MASK_OCCLUDED, MASK_OTHER, ObjectObservation, ObjectView
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.core.views import spread

DEFAULT_VIEWS = 24
MIN_POINTS = 10
MIN_VIEW_PX = 20
NEAR_M = 0.05  # surroundings reach at least this far
NEAR_SIZES = 0.5  # and half the object's size
CROP_SIZES = 0.5  # free space shown on each side of the object, in object sizes
CROP_M = 0.10  # at least: the hidden part of an object may be much larger than what was seen of it
FOOTPRINT_PX = 16  # a surfel may reach into the crop from this far outside
AGREE_M = 0.015  # map and image show the same surface when their depths differ by less
VISIBLE = 0.5  # blend weight from which a pixel is taken to show the object


@dataclass(frozen=True)
class _Crop:
    """Part of a keyframe around the object."""

    frame: Frame
    left: int
    top: int
    camera: Camera

    @property
    def window(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.camera.height), slice(self.left, self.left + self.camera.width)


def observe_object(
    instance_id: int,
    revision: int,
    map_id: str,
    gaussians: GaussianMap,
    labels: Int32[np.ndarray, " N"],
    keyframes: Sequence[Frame],
    rasterizer: Rasterizer,
    up: Float64[np.ndarray, " 3"],
    max_views: int = 0,
) -> ObjectObservation:
    """Gather all that completing instance `instance_id` needs. `max_views` 0 = default; `up` is a unit vector (world).

    Raises:
        TooFewPointsError: the instance has next to no points, or no keyframe shows it.
    """
    own = labels == instance_id
    if own.sum() < MIN_POINTS:
        raise TooFewPointsError(
            f"instance {instance_id} has {int(own.sum())} points in the map; observing it needs {MIN_POINTS}: "
            "look at it longer, or from nearer"
        )
    means_m = gaussians.means_m.detach().cpu().numpy()
    low, high = np.percentile(means_m[own], (1, 99), axis=0)
    margin_m = max(NEAR_M, NEAR_SIZES * float((high - low).max()))
    near = ~own & ((means_m > low - margin_m) & (means_m < high + margin_m)).all(-1)
    core_m = means_m[own & ((means_m >= low) & (means_m <= high)).all(-1)]
    crops = _candidates(core_m if len(core_m) else means_m[own], keyframes, 2 * (max_views or DEFAULT_VIEWS))
    looks = [_look(crop, gaussians, own, rasterizer) for crop in crops]
    views = _best(looks, (low + high) / 2, max_views or DEFAULT_VIEWS)
    if not views:
        raise TooFewPointsError(
            f"none of the {len(keyframes)} remembered views shows {MIN_VIEW_PX} px of instance {instance_id}: "
            "look at it again"
        )
    return ObjectObservation(
        map_id, instance_id, revision, _rows(gaussians, own).to("cpu"), _rows(gaussians, near).to("cpu"), views, up
    )


def _rows(gaussians: GaussianMap, rows: Bool[np.ndarray, " N"]) -> GaussianMap:
    return gaussians.select(torch.from_numpy(rows).to(gaussians.device))


def _candidates(points_m: Float32[np.ndarray, "P 3"], keyframes: Sequence[Frame], count: int) -> list[_Crop]:
    """Crops of the keyframes that may show the object, by its projected points alone."""
    crops, directions, shares = [], [], []
    center_m = points_m.mean(0).astype(np.float64)
    for frame in keyframes:
        camera = frame.camera
        pixels, z = project(transform(inverse(frame.T_world_camera), points_m), camera)
        inside = (z > 0) & (pixels >= 0).all(-1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
        if inside.sum() < MIN_POINTS:
            continue
        low, high = pixels[inside].min(0), pixels[inside].max(0)
        margin_px = max(CROP_M * frame.camera.fx / float(np.median(z[inside])), CROP_SIZES * float((high - low).max()))
        left, top = (int(x) for x in np.maximum(low - margin_px, 0))
        right, bottom = (int(x) for x in np.minimum(high + margin_px + 1, (camera.width, camera.height)))
        crops.append(_Crop(frame, left, top, camera.cropped(left, top, right - left, bottom - top)))
        toward = frame.T_world_camera[:3, 3] - center_m
        directions.append(toward / max(float(np.linalg.norm(toward)), 1e-9))
        shares.append(inside.mean())
    if not crops:
        return []
    return [crops[i] for i in spread(np.stack(directions), np.array(shares, np.float32), count)]


def _look(crop: _Crop, gaussians: GaussianMap, own: Bool[np.ndarray, " N"], rasterizer: Rasterizer) -> ObjectView:
    """The crop with its visibility mask: two renders, of the surfels that can reach it."""
    frame = crop.frame
    rgb, depth_m = (np.ascontiguousarray(image[crop.window]) for image in (frame.rgb, frame.depth_m))
    reach = _in_reach(gaussians, crop)
    scene, is_own = gaussians.select(reach), torch.from_numpy(own).to(gaussians.device)[reach]
    with torch.no_grad():
        blended = rasterizer(scene, is_own.float()[:, None], crop.camera, frame.T_world_camera)
        alone = render(rasterizer, scene.select(is_own), crop.camera, frame.T_world_camera)
    shown = (blended.features[..., 0] > VISIBLE * blended.alpha.clamp_min(0.1)).cpu().numpy()
    mask = _visibility(shown, alone.alpha.cpu().numpy(), alone.depth_m.cpu().numpy(), depth_m)
    return ObjectView(crop.camera, rgb, depth_m, mask, frame.T_world_camera)


def _in_reach(gaussians: GaussianMap, crop: _Crop) -> Bool[Tensor, " N"]:
    T_camera_world = torch.from_numpy(inverse(crop.frame.T_world_camera).astype(np.float32)).to(gaussians.device)
    points = gaussians.means_m.detach() @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    z = points[:, 2].clamp_min(1e-6)
    u = crop.camera.fx * points[:, 0] / z + crop.camera.cx
    v = crop.camera.fy * points[:, 1] / z + crop.camera.cy
    return (
        (points[:, 2] > 0) & (u > -FOOTPRINT_PX) & (v > -FOOTPRINT_PX)
        & (u < crop.camera.width + FOOTPRINT_PX) & (v < crop.camera.height + FOOTPRINT_PX)
    )  # fmt: skip


def _visibility(
    shown: Bool[np.ndarray, "H W"],
    alpha: Float32[np.ndarray, "H W"],
    object_m: Float32[np.ndarray, "H W"],
    depth_m: Float32[np.ndarray, "H W"],
) -> UInt8[np.ndarray, "H W"]:
    """255 where the object shows, 128 where it would but something is in front, 0 elsewhere.

    `alpha` and `object_m` are of the object alone. The image's own depth decides: surfels reach a little over the
    object's edge, and something may have passed that is not in the map.
    """
    there = (alpha > VISIBLE) & (object_m > 0)
    known = depth_m > 0
    nearer = there & known & (depth_m < object_m - AGREE_M)
    further = there & known & (depth_m > object_m + AGREE_M)
    mask = np.full(depth_m.shape, MASK_OTHER, np.uint8)
    mask[there & shown] = MASK_OBJECT
    mask[(there & ~shown & ~known) | nearer] = MASK_OCCLUDED
    mask[further] = MASK_OTHER
    return mask


def _best(looks: Sequence[ObjectView], center_m: Float64[np.ndarray, " 3"], count: int) -> tuple[ObjectView, ...]:
    """Views that show the object, the best first; then views that only show the space where it might have been."""
    shown_px = np.array([(look.mask == MASK_OBJECT).sum() for look in looks], np.float32)
    if not (shown_px >= MIN_VIEW_PX).any():
        return ()
    toward = np.stack([look.T_world_camera[:3, 3] - center_m for look in looks])
    directions = toward / np.maximum(np.linalg.norm(toward, axis=-1, keepdims=True), 1e-9)
    chosen: list[int] = []
    for rows in (np.flatnonzero(shown_px >= MIN_VIEW_PX), np.flatnonzero(shown_px < MIN_VIEW_PX)):
        scores = np.maximum(shown_px[rows], 1)
        chosen += [int(rows[i]) for i in spread(directions[rows], scores, count - len(chosen))]
    return tuple(looks[i] for i in chosen)
